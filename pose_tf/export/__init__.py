"""Self-contained models: everything from the bytes of an image to its poses in one SavedModel."""

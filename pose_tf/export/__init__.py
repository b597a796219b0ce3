"""Exports self-contained models: one SavedModel maps the bytes of an image to poses."""

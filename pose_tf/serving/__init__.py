"""The exported model: writing it, and using it on files."""

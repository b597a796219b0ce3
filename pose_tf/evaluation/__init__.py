"""Errors of trained models, and the submission file."""

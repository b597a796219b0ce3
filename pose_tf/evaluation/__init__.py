"""The errors of a trained model, and the submission file."""

"""The synthetic data set: rendered people in the record format."""

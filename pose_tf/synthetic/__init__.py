"""The synthetic data set: rendered people in the format of the records."""

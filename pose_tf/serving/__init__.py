"""The client of TF Serving."""

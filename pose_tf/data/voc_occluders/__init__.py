"""The objects of Pascal VOC 2012 as a TensorFlow dataset."""

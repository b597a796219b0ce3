"""Estimates poses in many images with Apache Beam, and writes them as tables in Parquet files."""

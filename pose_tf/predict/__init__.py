"""Poses of the people in photos, videos and camera streams, with an exported model."""

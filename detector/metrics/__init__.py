"""Metrics of detection as pure NumPy functions over columns of truths and detections; one idea a file."""

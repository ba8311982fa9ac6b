"""Experiments, one a file: `get_config()` returns an `Experiment`."""

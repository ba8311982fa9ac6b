"""Dataset files to records to shards, with Apache Beam and fsspec.

Import from the modules; `pipelines.convert` shows the whole conversion on one screen.
"""

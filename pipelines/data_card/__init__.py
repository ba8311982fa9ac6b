"""The data card: what `pipelines.statistics` counted, as one HTML file, as text and as JSON."""

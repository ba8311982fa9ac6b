"""One module for each dataset format. `pipelines.sources.base` says what a source is and finds them by name."""

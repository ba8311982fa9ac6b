"""What a dataset directory holds, counted by combiners over its row plane; see `pipelines.statistics.job`."""

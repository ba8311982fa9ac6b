"""The same picture twice, within datasets and across splits: see docs/duplicates.md."""

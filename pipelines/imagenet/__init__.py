"""Parts of the format `imagenet`: the ways its images lie on disk, its ground truths, its boxes."""

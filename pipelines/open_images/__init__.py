"""Open Images, part by part: its CSV files, its classes, where its images lie, and what is said about one image."""

"""Networks: lists of layers, from images to the features that a head reads."""

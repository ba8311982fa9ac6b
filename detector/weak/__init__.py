"""What an image with labels and no boxes teaches."""

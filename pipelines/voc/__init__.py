"""Parts of the format `voc`: its XML, its corners, its lists. ImageNet's boxes are written in the same XML."""

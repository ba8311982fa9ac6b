"""Tables of (image, label, confidence, source): read, checked and written many rows at a time, by Arrow and NumPy."""

"""What COCO's kinds of files have in common: entries, ids, heads, and how each kind becomes rows."""

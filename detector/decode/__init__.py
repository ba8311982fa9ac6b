"""From predictions to detections: which boxes are worth a name, what they are called, and which of them stay.

prune.py     boxes whose objectness alone rules them out are never classified
walks.py     a box's name: down the tree, from a fixed list, or the best leaves
tables.py    what the walks read of the tree
options.py   `DecodeConfig`, checked
decoding.py  all of it in a row, then `detector.nms`
"""

from detector.decode.decoding import decode_detections
from detector.decode.options import check_decode

__all__ = ["check_decode", "decode_detections"]

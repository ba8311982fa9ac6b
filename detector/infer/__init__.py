"""Detection on photos and films: boxes with the path down the tree, as JSON, as COCO results and as pictures.

sources.py     files, folders and globs of any file system to a list of inputs
reading.py     inputs to images on the network's canvas, ahead of time, in order
films.py       frames of a film, with PyAV
canvas.py      where an image lies on the canvas, as in training or as in darknet
predictor.py   a batch of canvases to what was found, on the images themselves
categories.py  what a node is called in COCO results
outputs.py     what is written, whole or not at all
job.py         all of it in a row
words.py       what people read meanwhile and at the end
"""

from detector.infer.job import detect
from detector.infer.sources import Unreadable, find_inputs, load_image
from detector.infer.words import lines_for_people

__all__ = ["Unreadable", "detect", "find_inputs", "lines_for_people", "load_image"]

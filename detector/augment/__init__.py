"""Random changes of an image and its boxes together.

The choice is pure and comes from numbers that hash the position in the stream, so that a resumed run makes the same
choices (rules R5, R10); TensorFlow only runs it.

    draws.py       uniform numbers that are a hash of what they are for
    placement.py   where the image lies on the canvas: choice, boxes there and back
    colour.py      darknet's distortion in HSV
    pixels.py      draws the canvas: one law for each mode, and the fused last stretch
    darknet.py     darknet's own resize, letterbox, place and crop to the last bit, in NumPy
"""

from detector.augment.colour import PLAIN_COLOUR, Colour, distort, sample_colour
from detector.augment.darknet import (
    crop_darknet,
    darknet_letterbox,
    letterbox_darknet,
    place_darknet,
    resize_darknet,
)
from detector.augment.draws import HashDraws, Uniform
from detector.augment.pixels import as_canvas, finish, place_image, sample_source
from detector.augment.placement import (
    DARKNET_LEAST_SIDE,
    Placement,
    content_box,
    letterbox,
    place_boxes,
    sample_placement,
    unplace_boxes,
)

__all__ = [
    "DARKNET_LEAST_SIDE",
    "PLAIN_COLOUR",
    "Colour",
    "HashDraws",
    "Placement",
    "Uniform",
    "as_canvas",
    "content_box",
    "crop_darknet",
    "darknet_letterbox",
    "distort",
    "finish",
    "letterbox",
    "letterbox_darknet",
    "place_boxes",
    "place_darknet",
    "place_image",
    "resize_darknet",
    "sample_colour",
    "sample_placement",
    "sample_source",
    "unplace_boxes",
]

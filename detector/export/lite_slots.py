"""What detectors read from TFLite files share: scores and detections from their slots."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import tensorflow as tf

from detector.api import Detections
from detector.config import DecodeConfig
from detector.decode import decode_detections
from detector.given_images import check_images
from detector.region.slots import Predictions


class LiteSlots(ABC):
    """A `Finder` of `detector.api`; nodes may be tensors, as a served signature takes them."""

    model: Any = None
    overlap: float = DecodeConfig.iou_threshold

    @abstractmethod
    def predict(self, images: tf.Tensor, *, training: bool = False, content: Any = None) -> Predictions:
        """Predictions of every slot for images f32[B, H, W, 3]; `content` f32[B, 4] as in `Batch`."""

    def score_nodes(self, images: tf.Tensor, nodes: Any, content: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Finder`."""
        check_images(images)
        predictions = self.predict(images, content=content)
        wanted = tf.constant(np.asarray(nodes), tf.int32) if not tf.is_tensor(nodes) else nodes
        rows = tf.broadcast_to(wanted[None], [tf.shape(images)[0], tf.shape(wanted)[0]])
        found = predictions.classes.path_log_probs(rows)
        return predictions.boxes, tf.exp(found + tf.math.log_sigmoid(predictions.object_logits)[..., None])

    def detect(self, images: tf.Tensor, options: DecodeConfig, content: Any = None) -> Detections:
        """See `Finder`."""
        check_images(images)
        return decode_detections(self.predict(images, content=content), options)

"""Batches to detections: models, losses, training, evaluation, inference. TensorFlow and Keras 3 live here alone.

Importing this package imports neither; `detector.cli` imports them when a subcommand runs.
"""

from detector import onednn

onednn.choose()  # before anybody imports TensorFlow

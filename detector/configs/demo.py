"""The demo: plane figures of 96x96 pixels, trained in a few minutes on 2 CPU cores by `wordtree demo`.

Coarse figures are boxed, fine ones only labelled; the report shows the AP of both.
"""

from __future__ import annotations

from detector.config import Experiment
from detector.configs import tiny64


def get_config() -> Experiment:
    """The experiment: what differs from `tiny64`."""
    return tiny64.get_config().but(
        "demo",
        model={"input_size": 96, "width": 0.25},
        augment={"scale": 1.2, "aspect": 1.0, "hue": 0.1},
        train={"steps": 900, "weight_decay": 5e-4, "checkpoint_every": 150, "log_every": 25},
    )

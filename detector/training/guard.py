"""What is not finite is named: the term and the images of a loss, the variable of a gradient or a weight.

Nothing of it reaches a checkpoint: the loop stops before it saves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from schemas.errors import WordTreeError

IMAGES_NAMED = 3
ADVICE = "lower train.learning_rate or train.clip_norm. Older checkpoints are intact"


class NotFiniteError(WordTreeError):
    """A loss, a gradient or a weight is NaN or infinite."""


def check_terms(
    terms: Mapping[str, np.ndarray],
    step: int,
    name_image: Callable[[int], str] | None = None,
    inputs: Sequence[np.ndarray] = (),
) -> None:
    """Refuse a step whose loss is not finite.

    An image that is not finite itself spoils all others through batch normalisation: the inputs tell who began.

    Args:
        terms: f32[B] by name.
        step: from 0.
        name_image: what to call image number b of the batch.
        inputs: [B, ...] each, what the terms were computed from.

    Raises:
        NotFiniteError: naming step, terms and images.
    """
    broken = {name: np.flatnonzero(~np.isfinite(values)) for name, values in terms.items()}
    broken = {name: images for name, images in broken.items() if len(images)}
    if not broken:
        return
    size = len(next(iter(terms.values())))
    images = sorted({int(image) for found in broken.values() for image in found})
    guilty = [image for image in range(size) if not all(np.isfinite(values[image]).all() for values in inputs)]
    if len(images) == size > 1 and not guilty:
        where = f"in all {size} images, so the weights have diverged"
    else:
        names = [
            f"number {image} of the batch" if name_image is None else name_image(image) for image in guilty or images
        ]
        more = f" and {len(names) - IMAGES_NAMED} more" if len(names) > IMAGES_NAMED else ""
        where = f"in {'; '.join(names[:IMAGES_NAMED])}{more}"
        where += ", whose pixels, boxes or weights are not finite" if guilty else ""
    verb = "is" if len(broken) == 1 else "are"
    raise NotFiniteError(f"step {step}: {', '.join(broken)} {verb} not finite {where}; {ADVICE}")


def check_gradients(squared: np.ndarray, paths: Sequence[str], step: int) -> None:
    """Refuse a step with a gradient that is not finite.

    Args:
        squared: f32[V] squared norms.
        paths: of the variables.
        step: from 0.

    Raises:
        NotFiniteError: naming the variables.
    """
    broken = [path for path, value in zip(paths, squared, strict=True) if not np.isfinite(value)]
    if broken:
        more = f" and {len(broken) - IMAGES_NAMED} more" if len(broken) > IMAGES_NAMED else ""
        raise NotFiniteError(
            f"step {step}: the loss is finite, but the gradient of {', '.join(broken[:IMAGES_NAMED])}{more} is not "
            f"finite; {ADVICE}"
        )


def check_weights(weights: Iterable[Any], step: int) -> None:
    """Refuse to keep weights that are not finite: the loss of a step is measured before its update.

    Args:
        weights: Keras variables.
        step: how many were done.

    Raises:
        NotFiniteError: naming the first such weight.
    """
    for weight in weights:
        with np.errstate(invalid="ignore"):  # infinity less infinity is no number either
            total = np.sum(weight.numpy(), dtype=np.float64)
        if not np.isfinite(total):
            raise NotFiniteError(f"step {step}: {weight.path} is not finite and was not saved; {ADVICE}")

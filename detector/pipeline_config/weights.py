"""Messages of "hyperparams": what pulls weights to zero, and how they begin.

`l2_regularizer { weight }` is theirs for weight |w|^2 / 2, whose gradient is weight w: what `train.weight_decay` adds
to a gradient. Theirs stand at single layers, ours is one for all kernels that are trained: the file's first one holds.
"""

from __future__ import annotations

from detector.pipeline_config.fields import Fields

UNUSED = {
    "layers are what they are here": "op",
    "layers begin as they do here": "initializer",
    "relu here": "activation",
    "train.weight_decay holds for all kernels": "regularize_depthwise",
    "no normalisation in these layers here": "batch_norm sync_batch_norm group_norm",
    "as it is here": "force_use_bias",
}


def read_hyperparameters(parent: Fields, name: str) -> None:
    """Read one such message: the first decay of a file becomes train.weight_decay."""
    layers = parent.message(name)
    settings = parent.book.settings
    regularizer = layers.message("regularizer")
    kind = regularizer.one_of("l2_regularizer", "l1_regularizer")
    if kind == "l2_regularizer":
        l2 = regularizer.message(kind)
        weight = l2.number("weight", 1.0)
        known = settings.get("train.weight_decay")
        if known is None:
            remark = "" if weight == 0 else "theirs for these layers, ours for all kernels that are trained"
            l2.take("weight", {"train.weight_decay": weight}, remark, default=1.0)
        else:
            same = weight == known
            l2.leave("weight", "as the one before" if same else f"one decay for all kernels here: {known:g}, see above")
    elif kind:
        regularizer.leave(kind, "no absolute values of weights are punished here")
    layers.leave_all(UNUSED)

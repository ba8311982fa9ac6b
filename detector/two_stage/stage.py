"""A functional network as one layer of another, whose own inputs stay out of sight.

A Keras model inside of a model shows the tensors that it was built from as its output, which nothing outside leads to;
what walks through the layers of the outer model stumbles over them. Variables keep their names.
"""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("wordtree")
class StageLayer(keras.layers.Layer):
    """What `inner` computes.

    Args:
        inner: a functional model of one input and one output.
        **options: of every Keras layer.
    """

    def __init__(self, inner: Any, **options: Any) -> None:
        super().__init__(**options)
        self.inner = inner

    def build(self, input_shape: Any) -> None:
        """The inner network is built already."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The inner network's output."""
        return self.inner(inputs, training=training)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The inner network's."""
        return self.inner.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "inner": keras.saving.serialize_keras_object(self.inner)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> StageLayer:
        """Build the inner network anew."""
        return cls(**{**config, "inner": keras.saving.deserialize_keras_object(config["inner"])})

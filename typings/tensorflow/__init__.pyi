"""For the type checker: TensorFlow as it is used, untyped. Its own annotations know neither operators of tensors nor
slices with an ellipsis nor most of its functions' results."""

from typing import Any

def __getattr__(name: str) -> Any: ...

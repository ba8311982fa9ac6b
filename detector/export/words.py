"""The words of a tree as tensors: what a node is called, by its number."""

from __future__ import annotations

import tensorflow as tf

from wordtree.tree import WordTree


def word_tables(tree: WordTree) -> dict[str, tf.Tensor]:
    """string[N] each: `wnids`; `names` for people; `paths` from the root, such as "bird > penguin > king penguin"."""
    return {
        "wnids": tf.constant(tree.names),
        "names": tf.constant(tree.display_names),
        "paths": tf.constant([tree.describe_path(node) for node in range(len(tree))]),
    }

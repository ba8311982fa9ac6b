"""One update of all replicas together: each computes its images, the gradients are summed, then clipped and applied.

    gradient of replica r    of its images' loss / images of the step: the sum over replicas is that of the batch's mean
    loss terms               f32[B] of the whole step in every worker, so that all see the same and stop together
    signals                  travel with the step: a worker that is told to stop takes all others along

The replicas hold equal weights at all times: they begin equal, and apply equal gradients.

Shape shorthand: B images of a step, R replicas, n parts, b = B / (n R).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import tensorflow as tf

from detector.api import Batch
from detector.cluster.batch_norm import moving_normalisations, synchronise
from detector.cluster.shares import check_split
from detector.cluster.strategy import Cluster
from detector.cluster.update import apply_in_replica
from detector.config import Experiment
from detector.supervision import Supervision
from detector.training.step import Trainer, with_shape
from wordtree.tree import WordTree

SUM, MEAN = tf.distribute.ReduceOp.SUM, tf.distribute.ReduceOp.MEAN


class ClusterTrainer(Trainer):
    """`Trainer` on the devices of a cluster; a batch holds the images of this worker's replicas, one after another.

    Args:
        experiment, tree, log, supervision: as of `Trainer`.
        cluster: its devices.

    Raises:
        ConfigError: if the experiment's options contradict each other, or a batch cannot be shared evenly.
    """

    def __init__(
        self,
        experiment: Experiment,
        tree: WordTree,
        log: Callable[[str], None] | None = None,
        *,
        cluster: Cluster,
        supervision: Supervision | None = None,
    ) -> None:
        config = experiment.train
        self.cluster, self.replicas = cluster, cluster.replicas
        check_split(config.batch_size, config.subdivisions, self.replicas)
        with cluster.scope():
            super().__init__(experiment, tree, log, supervision=supervision)
        # synchronised layers talk to each other, which cannot stand inside a loop of the graph
        self.talking = config.sync_batch_norm and synchronise(self.model) > 0
        known = {id(weight) for weight in self.model.weights}
        self.seeds = [variable for variable in self.model.variables if id(variable) not in known]
        self.step_function = self._distributed
        self.function = tf.function(self._all_replicas)
        self.signal = self.agreed = 0

    def scope(self) -> AbstractContextManager[Any]:
        """Of the strategy."""
        return self.cluster.scope()

    def asked_to_stop(self, signal: int) -> int:
        """See `Trainer.asked_to_stop`: what all workers know of; `signal` goes to the others with the next step."""
        self.signal = signal
        return self.agreed

    def train_step(self, batch: Batch, step: int, name_image: Callable[[int], str] | None = None) -> dict[str, float]:
        """See `Trainer.train_step`; `batch` is this worker's, the means are over all images of the step."""
        with self.cluster.scope():
            return super().train_step(batch, step, name_image)

    def _distributed(self, batch: Batch, before: Any, decay: Any) -> tuple[dict[str, Any], Any]:
        found = self.function(self._split(batch), before, decay, tf.constant(self.signal))
        terms, squared, signal = tf.nest.map_structure(self._first, found)
        self.agreed = int(signal)
        return terms, squared

    def _first(self, value: Any) -> Any:
        return self.cluster.strategy.experimental_local_results(value)[0]

    def _split(self, batch: Batch) -> Any:
        """Each local replica's share of the worker's batch."""
        count = self.cluster.local
        if count == 1:
            return batch
        size = batch.images.shape[0] // count

        def share(context: Any) -> Batch:
            first = context.replica_id_in_sync_group % count * size
            return Batch(*(None if field is None else field[first : first + size] for field in batch))

        return self.cluster.strategy.experimental_distribute_values_from_function(share)

    def _all_replicas(self, shares: Any, before: Any, decay: Any, signal: Any) -> Any:
        return self.cluster.strategy.run(self._replica, args=(shares, before, decay, signal))

    def _replica(self, batch: Batch, before: Any, decay: Any, signal: Any) -> tuple[dict[str, Any], Any, Any]:
        """Loss terms f32[B] of the step, f32[V] squared norms of its gradients, the highest signal of any worker."""
        context: Any = tf.distribute.get_replica_context()
        number = tf.cast(context.replica_id_in_sync_group, tf.int32)
        self._move_seeds(number)
        terms, gradients = self._shares(batch, before)
        self._move_seeds(-number)
        names = list(terms)
        rows = self._placed(tf.stack([tf.cast(terms[name], tf.float32) for name in names]), number)
        signals = tf.cast(signal, tf.float32) * tf.one_hot(number, self.replicas)
        *gradients, rows, signals = context.all_reduce(SUM, [*gradients, rows, signals])
        if not self.talking:
            self._share_statistics(context)
        squared = self._update(gradients, decay)
        return (
            dict(zip(names, tf.unstack(rows), strict=True)),
            squared,
            tf.cast(tf.reduce_max(signals), tf.int32),
        )

    def _placed(self, rows: Any, number: Any) -> Any:
        """f32[K, n b] of replica `number` at its places in f32[K, B], 0 elsewhere; see `detector.cluster.shares`."""
        config = self.experiment.train
        parts, size = config.subdivisions, config.batch_size // (config.subdivisions * self.replicas)
        count = rows.shape[0]
        flat = tf.reshape(rows, [count * parts, size])
        padded = tf.pad(flat, [[0, 0], [number * size, (self.replicas - 1 - number) * size]])
        return tf.reshape(padded, [count, config.batch_size])

    def _move_seeds(self, number: Any) -> None:
        """Dropout of each replica from its own seed; moved back, so that the state stays the same in all."""
        for seed in self.seeds:
            moved = seed.value + tf.cast(tf.stack([number, 0]), seed.value.dtype)
            seed.value.assign(moved)

    def _share_statistics(self, context: Any) -> None:
        """Running statistics of images that only one replica saw: their mean, so that the replicas stay equal."""
        layers = moving_normalisations(self.model)
        if layers:
            running = [weight.value for layer in layers for weight in (layer.moving_mean, layer.moving_variance)]
            means = context.all_reduce(MEAN, [tf.identity(value) for value in running])
            for value, mean in zip(running, means, strict=True):
                value.assign(mean)

    def _apply_gradients(self, gradients: list[Any]) -> None:
        apply_in_replica(self.optimizer, gradients, self.model.trainable_variables)

    def _in_parts(self, batch: Batch, before: Any) -> tuple[dict[str, Any], list[Any]]:
        """As `Trainer._in_parts`; where layers talk the parts are written out, each held back until the one before."""
        if not self.talking:
            return super()._in_parts(batch, before)
        config = self.experiment.train
        size = config.batch_size // (config.subdivisions * self.replicas)
        found, sums = [], None
        for number in range(config.subdivisions):
            part = Batch(*(None if f is None else f[number * size : (number + 1) * size] for f in batch))
            with tf.control_dependencies(sums or []):
                part = part._replace(images=tf.identity(part.images))
            terms, gradients = self._part(with_shape(part, size), before + (number + 1) * size * self.replicas)
            found.append(terms)
            sums = gradients if sums is None else [one + two for one, two in zip(sums, gradients, strict=True)]
        assert sums is not None
        return {name: tf.concat([terms[name] for terms in found], axis=0) for name in found[0]}, sums

    def _inputs(self, batch: Batch) -> list[np.ndarray]:
        """f32[B] of the whole step, not finite where an image's inputs are not; every worker asks for it at once."""
        config = self.experiment.train
        parts, size = config.subdivisions, config.batch_size // (config.subdivisions * self.replicas)
        finite = np.all([[np.isfinite(row).all() for row in field] for field in super()._inputs(batch)], axis=0)
        bad = np.zeros([parts, self.replicas, size], np.int32)
        first = self.cluster.index * self.cluster.local
        bad[:, first : first + self.cluster.local] = ~finite.reshape(-1, parts, size).swapaxes(0, 1)
        total = self.cluster.sum(bad.reshape(-1))
        return [np.where(total > 0, np.float32(np.nan), np.float32(0))[:, None]]


def make_trainer(
    experiment: Experiment,
    tree: WordTree,
    log: Callable[[str], None] | None = None,
    *,
    cluster: Cluster,
    supervision: Supervision | None = None,
) -> Trainer:
    """A `Trainer` for these devices.

    A strategy with one replica computes like one with many, so that a job may shrink to one worker and grow again.
    """
    if cluster.strategy is None:
        return Trainer(experiment, tree, log, supervision=supervision)
    return ClusterTrainer(experiment, tree, log, cluster=cluster, supervision=supervision)

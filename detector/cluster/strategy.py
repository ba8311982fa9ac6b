"""Which devices train, by one word, and what the workers of a job say to each other outside of a step.

    one          one device
    mirrored     all GPUs of this host
    multiworker  all GPUs, or else the CPU, of every worker that TF_CONFIG or Slurm names
    tpu          the cores of a TPU, through TPUStrategy

A process takes part from its first operation on: `open_cluster` is called before TensorFlow has done anything.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from detector.cluster.description import ClusterDescription, describe_cluster
from detector.cluster.lost import is_loss
from schemas.errors import ConfigError

START_SECONDS = 600  # schedulers start the workers of a job minutes apart
HEARTBEAT_SECONDS = 20


@dataclass
class Cluster:
    """The devices of a job as this process sees them.

    Attributes:
        strategy: of tf.distribute; None: one device, without any.
        workers, index: processes of the job, and which this is.
    """

    strategy: Any = None
    workers: int = 1
    index: int = 0
    _sum: Any = field(default=None, repr=False)

    @property
    def replicas(self) -> int:
        """Copies of the network in the job."""
        return 1 if self.strategy is None else int(self.strategy.num_replicas_in_sync)

    @property
    def local(self) -> int:
        """Copies of the network in this process."""
        return self.replicas // self.workers

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run."""
        return self.index == 0

    def scope(self) -> AbstractContextManager[Any]:
        """Where variables of all replicas are made and set."""
        return tf.distribute.get_strategy().scope() if self.strategy is None else self.strategy.scope()

    def sum(self, values: np.ndarray) -> np.ndarray:
        """The sum over workers of i32[K]; all of them call it, with as many numbers."""
        if self.workers == 1:
            return values
        if self._sum is None:
            self._sum = tf.function(self._summed, input_signature=[tf.TensorSpec([None], tf.int32)])
        return self._sum(tf.constant(values, tf.int32)).numpy()

    def _summed(self, values: tf.Tensor) -> tf.Tensor:
        def one(values: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            number = tf.cast(context.replica_id_in_sync_group, tf.int32)
            own = tf.where(number % self.local == 0, values, tf.zeros_like(values))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

        return self.strategy.experimental_local_results(self.strategy.run(one, args=(values,)))[0]

    def gather(self, value: int) -> list[int]:
        """One small number of each worker; all of them call it."""
        row = np.zeros(self.workers, np.int32)
        row[self.index] = value
        return [int(each) for each in self.sum(row)]

    def check_same(self, parts: Mapping[str, str]) -> None:
        """Refuse workers that were started differently.

        Args:
            parts: what must be the same in all, by name.

        Raises:
            ConfigError: naming the first part that differs, in every worker.
        """
        for name, text in parts.items():
            number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little") >> 1
            found = self.gather(number)
            if wrong := [index for index, each in enumerate(found) if each != found[0]]:
                raise ConfigError(
                    f"worker {wrong[0]} of {self.workers} was started with another {name} than worker 0; give all "
                    "workers the same command"
                )

    def spread(self, variables: Mapping[str, Any]) -> None:
        """Give every worker the chief's values, bit for bit, so that it alone reads and writes the run."""
        if self.workers == 1:
            return
        for variable in variables.values():
            value = np.asarray(variable)
            bits = np.ascontiguousarray(value).reshape(-1).view(np.int32)
            same = self.sum(bits if self.is_chief else np.zeros_like(bits)).astype(np.int32)
            if not self.is_chief:
                variable.assign(same.view(value.dtype).reshape(value.shape))


def open_cluster(name: str, log: Callable[[str], None], environment: Mapping[str, str] | None = None) -> Cluster:
    """The devices that `train.strategy` names.

    Args:
        name: one, mirrored, multiworker or tpu.
        log: told who takes part.
        environment: None for the process's own.

    Raises:
        ConfigError: if these devices are not there, or another worker did not start.
    """
    if name == "one":
        return Cluster()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        log(f"devices: {', '.join(device.name for device in devices)}")
        return Cluster(tf.distribute.MirroredStrategy([device.name for device in devices]))
    if name == "tpu":
        return Cluster(_tpu_strategy(log))
    return _multi_worker(describe_cluster(os.environ if environment is None else environment), log)


def expected_replicas(name: str, environment: Mapping[str, str] | None = None) -> int:
    """How many copies of the network `open_cluster` would make, as far as this process alone can tell.

    Args:
        name: one, mirrored, multiworker or tpu.
        environment: None for the process's own.
    """
    if name not in ("mirrored", "multiworker"):
        return 1
    gpus = len(tf.config.list_logical_devices("GPU"))
    if name == "mirrored":
        return gpus or len(tf.config.list_logical_devices("CPU"))
    local = gpus or 1
    try:
        return local * describe_cluster(os.environ if environment is None else environment).workers
    except ConfigError:
        return local


def _multi_worker(found: ClusterDescription, log: Callable[[str], None]) -> Cluster:
    from tensorflow.python.eager import context  # the only door to the time-outs of the coordination service

    log(f"worker {found.index} of {found.workers} at {found.addresses[found.index]}; waiting for all")
    os.environ["TF_CONFIG"] = found.tf_config()
    runtime: Any = context.context()
    runtime.configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        cluster_register_timeout_in_ms=START_SECONDS * 1000,
        heartbeat_timeout_in_ms=HEARTBEAT_SECONDS * 1000,
        coordinated_jobs=_jobs(found.workers),
    )
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, tf.errors.OpError) and not is_loss(error):
            raise
        raise ConfigError(
            f"worker {found.index} of {found.workers} could not join the others within {START_SECONDS // 60} minutes "
            f"({line}); start all of {', '.join(found.addresses)} with the same command, on addresses that all reach"
        ) from error
    return Cluster(strategy, found.workers, found.index)


def _jobs(workers: int) -> Sequence[Any]:
    from tensorflow.python.distribute import collective_all_reduce_strategy  # which knows where the message lives

    module: Any = collective_all_reduce_strategy
    return [module.coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=workers)]


def _tpu_strategy(log: Callable[[str], None]) -> Any:
    """The cores of the TPU that TPU_NAME names, of this TPU VM by default."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=os.environ.get("TPU_NAME", "local"))
        if os.environ.get("TPU_NAME"):
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
    except Exception as error:  # libtpu and gRPC raise many kinds
        line = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"train.strategy is 'tpu', but no TPU answers ({line}); on a TPU VM install tensorflow-tpu, elsewhere set "
            "TPU_NAME"
        ) from error
    log(f"devices: {strategy.num_replicas_in_sync} cores of a TPU")
    return strategy

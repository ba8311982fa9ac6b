"""Which images of a step a worker computes: arithmetic on positions of the joint stream.

Step s has the positions [s B, (s + 1) B), whoever computes them. It is computed in n parts one after another
(`train.subdivisions`), and R replicas share each part: replica r takes a stretch of B / (n R) positions of every part.
A worker has the replicas [w L, (w + 1) L). So the images of each part of each step are the same for any number of
workers, and with batch normalisation over all replicas the update is too.

    part 0                      part 1
    | r0 | r1 | r2 | r3 |       | r0 | r1 | r2 | r3 |        B = 8 n R positions, n = 2, R = 4
"""

from __future__ import annotations

from schemas.errors import ConfigError


def offsets_of(worker: int, workers: int, local: int, batch_size: int, parts: int) -> list[int]:
    """The positions within a step that a worker computes: replica by replica, and of each replica part by part.

    Args:
        worker: from 0.
        workers: of the job.
        local: replicas of each worker, L.
        batch_size: images of a step, B.
        parts: n.
    """
    replicas = workers * local
    check_split(batch_size, parts, replicas)
    part, size = batch_size // parts, batch_size // (parts * replicas)
    return [
        number * part + replica * size + image
        for replica in range(worker * local, (worker + 1) * local)
        for number in range(parts)
        for image in range(size)
    ]


def check_split(batch_size: int, parts: int, replicas: int) -> None:
    """Refuse a batch that cannot be shared evenly.

    Raises:
        ConfigError: naming the next batch that can.
    """
    unit = parts * replicas
    if batch_size % unit:
        times = f"{replicas} replicas" if parts == 1 else f"{replicas} replicas times {parts} subdivisions"
        raise ConfigError(
            f"train.batch_size is {batch_size}, for {times}; expected a multiple of {unit}, such as "
            f"{(batch_size // unit + 1) * unit}"
        )

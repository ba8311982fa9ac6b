"""One training at a time in a run's directory: a lock on RUN/.lock, held by the process that writes there.

The system gives it back when the process ends, however that ends, so no lock outlives its holder. File systems that
know no locks (some network and bucket mounts) and Windows have none: there nothing is refused.
"""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any, Self

from schemas.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl: Any = None

LOCK = ".lock"
TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class RunLock:
    """A context that holds the lock from `take` on.

    Args:
        out: the run's directory.
    """

    def __init__(self, out: Path) -> None:
        self.path = out / LOCK
        self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            self.path.unlink(missing_ok=True)  # before it is given back: nobody else's can be met
            os.close(self._file)
            self._file = -1

    def take(self) -> None:
        """Hold the lock, unless it is held already, or the directory is not there yet.

        Raises:
            OutputError: naming the process that holds it.
        """
        while fcntl and self._file < 0 and self.path.parent.is_dir():
            try:
                file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError:  # a directory that cannot be written to says so itself, later
                return
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.read(file, 300).decode(errors="replace").strip()
                os.close(file)
                if error.errno not in TAKEN:
                    return
                raise OutputError(
                    f"{self.path.parent}: {holder or 'another process'} trains in it; stop that one, wait for its end, "
                    "or choose another --out"
                ) from None
            if not self._is_at_its_place(file):  # its last holder has just removed it
                os.close(file)
                continue
            os.ftruncate(file, 0)
            os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            self._file = file

    def _is_at_its_place(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.stat(self.path))
        except FileNotFoundError:
            return False

"""One command at a time writes to an output: a lock on OUT/.lock, or on .NAME.lock beside an output that is a file.

The system gives it back when the process ends, however that ends, so no lock outlives its holder. File systems that
know no locks (some network and bucket mounts) and Windows have none, nor have URLs: there nothing is refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from typing import Any, Self

from schemas.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl: Any = None

LOCK = ".lock"
ATTEMPTS, SECONDS_BETWEEN_ATTEMPTS = 100, 0.01  # to hold what its last holder is just giving back
TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class OutputLock:
    """A context that holds the lock from `take` on.

    Attributes:
        path: of the lock's file.
    """

    def __init__(self, out: str | Path, *, is_file: bool = False, what: str = "writes to it") -> None:
        """Args:
        out: the folder or file that is written.
        is_file: whether it is a file.
        what: the holder does, for people.
        """
        self._given, self.out, self._what = out, Path(out), what
        self.path = self.out.parent / f".{self.out.name}{LOCK}" if is_file else self.out / LOCK
        self._made: list[Path] = []
        self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            self.path.unlink(missing_ok=True)  # before it is given back: nobody else's can be met
            os.close(self._file)
            self._file = -1
        for folder in self._made:
            try:
                folder.rmdir()  # the command left nothing there
            except OSError:
                break
        self._made = []

    def take(self, *, make: bool = False) -> None:
        """Hold the lock, unless it is held already, or its folder is not there yet.

        Args:
            make: whether to make the folder; it goes again if nothing is put there.

        Raises:
            OutputError: naming the process that holds it.
        """
        if "://" in str(self._given):
            return
        for attempt in range(ATTEMPTS):
            if not fcntl or self._file >= 0:
                return
            if attempt:
                time.sleep(SECONDS_BETWEEN_ATTEMPTS)
            try:
                if make:
                    self._make()
                file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            except FileNotFoundError:
                if make:  # whoever held it has just removed the folder
                    continue
                return
            except (OSError, ValueError):  # what cannot be written to says so itself, later
                return
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.read(file, 300).decode(errors="replace").strip()
                os.close(file)
                if error.errno not in TAKEN:
                    return
                if not holder and attempt < ATTEMPTS - 1:  # it has just come and writes its name
                    continue
                raise OutputError(
                    f"{self.out}: {holder or 'another process'} {self._what}; stop that one, wait for its end, or "
                    "choose another output"
                ) from None
            if not self._is_at_its_place(file):  # its last holder has just removed it
                os.close(file)
                continue
            with contextlib.suppress(OSError):  # a full disk holds no name, but the lock
                os.ftruncate(file, 0)
                os.write(file, f"process {os.getpid()} on {os.uname().nodename}\n".encode())
            self._file = file

    def _make(self) -> None:
        folder = self.path.parent
        missing = [above for above in (folder, *folder.parents) if not above.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self._made = self._made or missing

    def _is_at_its_place(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.stat(self.path))
        except FileNotFoundError:
            return False

"""A worker process on this machine: Beam's own, without its forty lines of chatter on stderr.

    python -P -m pipelines.worker PARENT

It ends when the process PARENT ends, which started it. Errors still reach that one, which raises them.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading


def _serve(parent: int) -> None:
    """Until the engine or the process that started this one goes; either of them tells people, this one need not."""
    import grpc

    from pipelines.engines.leash import leave_with

    def tell(args: threading.ExceptHookArgs) -> None:
        if not issubclass(args.exc_type, grpc.RpcError):
            before(args)

    before, threading.excepthook = threading.excepthook, tell
    leave_with(parent)
    from apache_beam.runners.worker import sdk_worker, sdk_worker_main

    # Each error's traceback is printed there; the parent raises it too.
    setattr(sdk_worker, "print", lambda *words, **options: None)  # noqa: B010
    with contextlib.suppress(grpc.RpcError):
        sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    logging.getLogger().addHandler(logging.NullHandler())  # otherwise the first warning installs one for stderr
    logging.disable(logging.WARNING)
    _serve(int(sys.argv[1]))

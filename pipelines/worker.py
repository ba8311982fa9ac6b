"""A worker process on this machine: Beam's own, without its forty lines of chatter on stderr.

    python -m pipelines.worker [PARENT]

With the id of the process that started it, it ends when that one does. Errors still reach the parent process, which
raises them.
"""

from __future__ import annotations

import logging
import sys
import threading


def _serve() -> None:
    from apache_beam.runners.worker import sdk_worker, sdk_worker_main

    # Each error's traceback is printed there; the parent raises it too.
    setattr(sdk_worker, "print", lambda *words, **options: None)  # noqa: B010
    sdk_worker_main.main(sys.argv)


def _serve_for(parent: int) -> None:
    """Until the engine or the process that started this one goes; either of them tells people, this one need not."""
    import grpc

    from pipelines.engines.leash import leave_with

    def tell(args: threading.ExceptHookArgs) -> None:
        if not issubclass(args.exc_type, grpc.RpcError):
            before(args)

    before, threading.excepthook = threading.excepthook, tell
    leave_with(parent)
    try:
        _serve()
    except grpc.RpcError:
        sys.exit(1)


if __name__ == "__main__":
    logging.getLogger().addHandler(logging.NullHandler())  # otherwise the first warning installs one for stderr
    logging.disable(logging.WARNING)
    if len(sys.argv) > 1:
        _serve_for(int(sys.argv[1]))
    else:
        _serve()

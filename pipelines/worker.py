"""A worker process on this machine: Beam's own, without its forty lines of chatter on stderr.

    python -m pipelines.worker [PARENT]

With the id of the process that started it, it ends when that one does. Errors still reach the parent process, which
raises them.
"""

from __future__ import annotations

import logging
import sys

if __name__ == "__main__":
    logging.getLogger().addHandler(logging.NullHandler())  # otherwise the first warning installs one for stderr
    logging.disable(logging.WARNING)
    if len(sys.argv) > 1:
        from pipelines.engines.leash import leave_with

        leave_with(int(sys.argv[1]))
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)

"""A worker process of the local runner: Beam's own, without its forty lines of chatter on stderr.

Errors still reach the parent process, which raises them.
"""

from __future__ import annotations

import logging
import sys

if __name__ == "__main__":
    logging.getLogger().addHandler(logging.NullHandler())  # otherwise the first warning installs one for stderr
    logging.disable(logging.WARNING)
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)

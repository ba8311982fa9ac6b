"""What the subcommands of the detector share: a strict parser, a quiet start of TensorFlow, a line of log."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from schemas.errors import ConfigError


def subcommand(
    subparsers: Any, name: str, help_text: str, example: str, run: Any, **more: object
) -> argparse.ArgumentParser:
    """A strict parser of one subcommand, with an example that works; `more` is what it says of itself in
    `wordtree.command`."""
    parser = subparsers.add_parser(
        name,
        help=help_text,
        description=help_text,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, **more)
    return parser


def start_tensorflow() -> None:
    """Import TensorFlow without its start-up chatter, and make it do the same sums in the same order each time.

    The chatter is written to file descriptor 2 by C++ before any log level holds, so that is shut for the import.
    TF_CPP_MIN_LOG_LEVEL=0 in the environment shows everything.

    Raises:
        ConfigError: if TensorFlow is not installed.
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        if level != "0":
            with open(os.devnull, "wb") as sink:
                os.dup2(sink.fileno(), 2)
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
        tf.constant(0)  # starts the runtime, which has its say too
    except ImportError as error:
        raise ConfigError(f"TensorFlow is not installed ({error}); pip install 'wordtree[train]'") from error
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def log_line(line: str) -> None:
    """Print at once."""
    print(line, flush=True)

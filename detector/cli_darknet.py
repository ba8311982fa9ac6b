"""`wordtree darknet`."""

from __future__ import annotations

import argparse
from typing import Any

from detector.cli_parts import subcommand
from schemas.errors import ConfigError


def add_darknet(subparsers: Any) -> None:
    """`wordtree darknet`."""
    subcommand(
        subparsers,
        "darknet",
        "published networks in and out",
        "wordtree darknet import net.cfg net.weights",
        _run_darknet,
    )


def _run_darknet(args: argparse.Namespace) -> int:
    raise ConfigError("not there yet")

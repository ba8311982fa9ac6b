"""`wordtree export`."""

from __future__ import annotations

import argparse
from typing import Any

from detector.cli_parts import subcommand
from schemas.errors import ConfigError


def add_export(subparsers: Any) -> None:
    """`wordtree export`."""
    subcommand(subparsers, "export", "a run as SavedModel or TFLite", "wordtree export run --out model", _run_export)


def _run_export(args: argparse.Namespace) -> int:
    raise ConfigError("not there yet")

"""Where the command `wordtree` begins: deaf to nothing while everything else is imported (`wordtree.interruption`)."""

from __future__ import annotations

from wordtree.interruption import leave_when_interrupted


def main() -> int:
    """Run the command line; returns its exit code."""
    leave_when_interrupted()
    from wordtree.command import main

    return main()

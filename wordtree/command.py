"""The one command: `wordtree SUBCOMMAND`.

Subcommands live in their own package's `cli.py` and are declared as entry points of the group `wordtree.commands`;
each entry point is a function `add(subparsers)` that adds its parser and sets `run=` to a function
`run(args: argparse.Namespace) -> int`. So no package imports another across the layers, and `wordtree --help` needs
neither Beam nor TensorFlow.

A subcommand may say more about itself in its parser's defaults:

    takes_beam_args   what stands after `--` is left for Apache Beam, in `args.beam_args`; left of it parsing is strict
    writes            name of the argument with its output: one command at a time writes there (`wordtree.lock`)
    writes_a_file     that is a file, and not a folder

It sets `args.resumes` once the same command, given again, goes on where it was interrupted.

Errors of the type `schemas.errors.WordTreeError` print one line and exit with 2; anything else is a bug and shows its
traceback.
"""

from __future__ import annotations

import atexit
import codecs
import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from schemas.errors import WordTreeError
from wordtree.interruption import SIGNALS, Interruptible, leave_when_interrupted
from wordtree.lock import OutputLock

if TYPE_CHECKING:
    import argparse

ORDER = (
    *("demo", "tree", "convert", "stats", "inspect", "duplicates", "relabel", "split", "assemble", "to-coco"),
    *("anchors", "mix", "train", "evaluate", "bench", "detect", "report"),
)

EPILOG = """\
a first run:
  wordtree demo                          everything below, on data made on the spot
step by step:
  wordtree tree build --labels coco imagenet:wnids.txt --out tree
  wordtree convert coco --annotations instances.json --images train2017 --tree tree coco-train
  wordtree convert imagenet --images train --tree tree imagenet-train
  wordtree stats coco-train imagenet-train --out card.html
  wordtree duplicates imagenet-train --against coco-val --policy drop --out view
  wordtree assemble view imagenet-clean
  wordtree anchors coco-train
  wordtree train tiny64 --data coco-train imagenet-train --tree tree --out run
  wordtree evaluate run coco-val
  wordtree bench run1 run2 --eval coco-val --out bench
  wordtree detect run 'photos/*.jpg' --out found
  wordtree report run --data coco-train imagenet-train --detections found --out report.html
  wordtree export run --out model
published networks:
  wordtree detect --darknet yolo9000.cfg yolo9000.weights --tree 9k.tree 'photos/*.jpg' --out found9k
"""


# What a user's own files and disks can do; other operating system errors are bugs and show their traceback.
FILE_ERRNOS = {
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENOSPC, errno.EROFS, errno.ENAMETOOLONG,
    errno.EFBIG, errno.ELOOP, errno.EDQUOT, errno.ENOTEMPTY, errno.EEXIST,
}  # fmt: skip


PLAIN_SIGNS = "wordtree.plain-signs"
ASCII_SIGNS = {
    "├": "|", "└": "`", "│": "|", "─": "-", "…": "...", "·": ".", "×": "x", "→": "->", "≤": "<=", "≥": ">=", "±": "+-",
    "–": "-", "—": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "µ": "u", "°": "deg", "²": "2",
}  # fmt: skip


def _plain_signs(error: UnicodeError) -> tuple[str, int]:
    """For terminals that do not speak UTF-8: tree branches and other signs in ASCII, `?` for the rest."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(ASCII_SIGNS.get(sign, "?") for sign in signs), error.end


codecs.register_error(PLAIN_SIGNS, _plain_signs)


def _printable(text: str) -> str:
    """Control characters of a user's file, which would move the cursor, as Python writes them."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def _drop_output() -> None:
    """Forget what is still to be printed: nobody can take it, and Python would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("wordtree")
    except PackageNotFoundError:
        return "(run from a source tree that is not installed)"


def entry_points(group: str) -> Any:
    """Those that are installed."""
    from importlib import metadata

    return metadata.entry_points(group=group)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line, from the entry points that are installed."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="wordtree",
        description="Train detectors on boxed and merely labelled images over a tree of WordNet concepts.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of expected errors too")
    parser.add_argument("--version", action="version", version=f"wordtree {_version()}")
    subparsers = parser.add_subparsers(dest="command", metavar="SUBCOMMAND", required=True)
    commands = {point.name: point for point in entry_points(group="wordtree.commands")}
    for name in sorted(commands, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)):
        commands[name].load()(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code."""
    if argv is not None:
        return _main(list(argv))
    leave_when_interrupted()
    code = _main(sys.argv[1:])
    if "TF_CONFIG" in os.environ:  # a worker of a cluster: others read from it until TensorFlow has taken leave
        return code
    if code - 128 in SIGNALS:  # threads of libraries would hold the end up, or print a traceback each
        sys.stdout.flush()
        os._exit(code)
    if "tensorflow" in sys.modules:  # its threads, still at work when C++ takes itself down, now and then abort there
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _main(words: list[str]) -> int:
    words, beam_args = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    args = build_parser().parse_args(words)
    args.beam_args = beam_args
    if sys.stdout is None:
        told = f"wordtree {args.command}: standard output is closed; send it to a file, or to /dev/null"
        if sys.stderr is not None:
            print(told, file=sys.stderr)
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors=PLAIN_SIGNS)
    with Interruptible(partial(_interrupted, args)) as work:
        try:
            return _run(args)
        except KeyboardInterrupt as interrupt:
            code = interrupt.args[0] if interrupt.args else work.number or signal.SIGINT
        except Exception:
            if not work.number:  # a library may make another exception of an interruption
                raise
            code = work.number
    print(_interrupted(args), file=sys.stderr)
    return 128 + code


def _interrupted(args: argparse.Namespace) -> str:
    """The line for people."""
    again = f"; run the same command again{' without --force' * bool(getattr(args, 'force', False))} to resume"
    return f"wordtree {args.command}: interrupted{again * bool(getattr(args, 'resumes', False))}"


def _run(args: argparse.Namespace) -> int:
    """Run the subcommand; what users cause is a line and a code."""
    try:
        if args.beam_args and not getattr(args, "takes_beam_args", False):
            raise WordTreeError(
                f"`wordtree {args.command}` takes nothing after `--`; found {' '.join(args.beam_args)!r}"
            )
        with held(args):
            code = int(args.run(args))
        sys.stdout.flush()
        return code
    except WordTreeError as error:
        if args.debug:
            raise
        print(f"wordtree {args.command}: {_printable(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # what reads our output went away: stop as other programs do, not with success
        _drop_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        if args.debug or error.errno not in FILE_ERRNOS:
            raise
        if error.filename is None and error.errno == errno.ENOSPC:  # a full disk behind `> file`
            _drop_output()
        print(f"wordtree {args.command}: {error.filename or 'the output'}: {error.strerror}", file=sys.stderr)
        return 2


def held(args: argparse.Namespace) -> OutputLock:
    """The lock on what a subcommand writes, if it says where.

    Raises:
        OutputError: naming the process that holds it.
    """
    out = getattr(args, getattr(args, "writes", ""), "")
    lock = OutputLock(out, is_file=getattr(args, "writes_a_file", False))
    if out and not getattr(args, "dry_run", False):
        lock.take(make=True)
    return lock

"""The one command: exit codes, signals, closed pipes."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import InputError
from wordtree import command

ROOT = Path(__file__).resolve().parents[2]


def run_with(monkeypatch, action, **declared):
    """The command with one subcommand, `act`, that does `action`; and what it says of itself."""

    def parser():
        top = argparse.ArgumentParser()
        top.add_argument("--debug", action="store_true")
        top.add_argument("command")
        top.set_defaults(run=lambda args: action(), **declared)
        return top

    monkeypatch.setattr(command, "build_parser", parser)
    return command.main(["act"])


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("no file 'x'; give another"), 2, "wordtree act: no file 'x'; give another\n"),
        (InputError("a\x1b[2J\rb"), 2, "wordtree act: a\\x1b[2J\\rb\n"),
        (NotADirectoryError(20, "Not a directory", "a/b"), 2, "wordtree act: a/b: Not a directory\n"),
        (KeyboardInterrupt(), 130, "wordtree act: interrupted\n"),
        (KeyboardInterrupt(signal.SIGTERM), 143, "wordtree act: interrupted\n"),
    ],
)
def test_what_users_cause_is_one_line_and_a_code(monkeypatch, capsys, error, code, message):
    assert run_with(monkeypatch, lambda: fail(error)) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("force", "told"),
    [
        (False, "interrupted; run the same command again to resume\n"),
        (True, "interrupted; run the same command again without --force to resume\n"),
    ],
)
def test_only_what_resumes_says_so(monkeypatch, capsys, force, told):
    def act(args):
        args.resumes, args.force = True, force
        raise KeyboardInterrupt

    def parser():
        top = argparse.ArgumentParser()
        top.add_argument("command")
        top.set_defaults(run=act, debug=False)
        return top

    monkeypatch.setattr(command, "build_parser", parser)
    assert command.main(["act"]) == 130
    assert capsys.readouterr().err.endswith(told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_that_a_library_makes_another_exception_of_is_one_line(monkeypatch, capsys, number):
    def convert():
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    assert run_with(monkeypatch, convert) == 128 + number
    assert capsys.readouterr().err == "wordtree act: interrupted\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


INTERRUPTED = """
import argparse, os, signal, sys
from wordtree import command

class Finder:  # interrupts where its module is imported, as a terminal does
    def find_spec(self, name, path=None, target=None):
        if name == "interrupted":
            try:
                signal.raise_signal(signal.SIGINT)
            except BaseException:
                pass  # some libraries do

class Forgetful:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def act(args):
    if {where!r} == "in an import":
        import interrupted
    elif {where!r} == "where nothing can be raised":
        Forgetful()
    print("it went on", file=sys.stderr)

def parser():
    if {where!r} == "before the work":
        signal.raise_signal(signal.SIGINT)
    top = argparse.ArgumentParser()
    top.add_argument("command")
    top.set_defaults(run=act, debug=False)
    return top

sys.meta_path.insert(0, Finder())
sys.argv = ["wordtree", "act"]
command.build_parser = parser
sys.exit(command.main())
"""


@pytest.mark.parametrize("where", ["before the work", "in an import", "where nothing can be raised"])
def test_an_interruption_is_one_line_where_an_exception_would_be_lost(where):
    code = INTERRUPTED.replace("{where!r}", repr(where))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    name = "wordtree" if where == "before the work" else "wordtree act"
    assert (done.returncode, done.stderr) == (130, f"{name}: interrupted\n")


def test_a_command_holds_its_output_while_it_runs(monkeypatch, capsys, tmp_path):
    out = tmp_path / "out"

    def act():
        assert (out / ".lock").read_text() == f"process {os.getpid()} on {os.uname().nodename}\n"
        assert run_with(monkeypatch, lambda: fail(AssertionError), writes="out", out=str(out)) == 2
        return 0

    assert run_with(monkeypatch, act, writes="out", out=str(out)) == 0
    assert capsys.readouterr().err.startswith(f"wordtree act: {out}: process {os.getpid()} on ")
    assert not out.exists()
    assert run_with(monkeypatch, lambda: 0, writes="out", out=str(out), dry_run=True) == 0
    monkeypatch.chdir(tmp_path)
    assert run_with(monkeypatch, lambda: 0, writes="out", writes_a_file=True, out="") == 0
    assert list(tmp_path.iterdir()) == []


def test_bugs_keep_their_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        run_with(monkeypatch, lambda: 1 // 0)


def test_a_closed_pipe_is_no_success():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    read, write = os.pipe()
    os.close(read)
    code = subprocess.run(
        [sys.executable, "-c", PRINTER], stdout=write, stderr=subprocess.DEVNULL, env=environment, check=False
    ).returncode
    os.close(write)
    assert code == 128 + signal.SIGPIPE


def wordtree(*words, stdout=subprocess.PIPE, before="", **variables):
    """The real command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    code = f"import sys\n{before}\nfrom wordtree.command import main\nsys.exit(main({list(words)!r}))"
    return subprocess.run(
        [sys.executable, "-c", code], stdout=stdout, stderr=subprocess.PIPE, env=environment, check=False
    )


@pytest.fixture
def tree_file(tmp_path):
    (tmp_path / "x.tree").write_text("a -1\nb 0\nc 0\n")
    (tmp_path / "x.names").write_text("ä\nb\nc\n")
    return str(tmp_path / "x.tree")


def test_a_terminal_without_utf8_gets_ascii_branches_and_other_programs_get_utf8(tree_file):
    shown = wordtree("tree", "show", tree_file, PYTHONIOENCODING="ascii")
    assert (shown.returncode, shown.stdout) == (0, b"?  a\n|-- b\n`-- c\n")
    data = wordtree("tree", "export", tree_file, "--format", "dot", PYTHONIOENCODING="ascii")
    assert "ä".encode() in data.stdout


def test_a_closed_output_is_told(tree_file):
    done = wordtree("tree", "show", tree_file, before="sys.stdout = None")
    assert done.returncode == 2
    assert done.stderr == b"wordtree tree: standard output is closed; send it to a file, or to /dev/null\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_the_output_is_told(tree_file):
    with open("/dev/full", "w") as full:
        done = wordtree("tree", "show", tree_file, stdout=full)
    assert (done.returncode, done.stderr) == (2, b"wordtree tree: the output: No space left on device\n")


PRINTER = """
import argparse, sys
from wordtree import command

def parser():
    top = argparse.ArgumentParser()
    top.add_argument("--debug", action="store_true")
    top.add_argument("command")
    top.set_defaults(run=lambda args: print("a line", flush=True) or 0)
    return top

command.build_parser = parser
sys.exit(command.main(["act"]))
"""


def test_a_typo_left_of_the_dashes_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["tree", "show", "tree", "--rooot", "x"])
    assert stop.value.code == 2
    assert "--rooot" in capsys.readouterr().err


def test_words_for_beam_go_to_convert_alone(capsys):
    assert command.main(["tree", "show", "tree", "--", "--runner=x"]) == 2
    assert "takes nothing after `--`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "out", "is_file"),
    [
        ("convert coco there --annotations a --images b", "there", False),
        ("convert labels there --rows a", "there", False),
        ("relabel a there", "there", False),
        ("split a there", "there", False),
        ("assemble a there", "there", False),
        ("duplicates a --out there", "there", False),
        ("stats a --out there.html", "there.html", True),
        ("to-coco a --out there.json", "there.json", True),
        ("report a --out there.html", "there.html", True),
    ],
)
def test_what_commands_say_of_themselves(words, out, is_file):
    args = command.build_parser().parse_args(words.split())
    assert getattr(args, args.writes) == out
    assert getattr(args, "writes_a_file", False) == is_file

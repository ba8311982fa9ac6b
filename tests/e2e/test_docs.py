"""Every command in the documents runs.

Commands stand in ```sh blocks. They run in order, verbatim, but for two things: training takes a few steps instead of
thousands, and `make`, `pip` and `python benchmarks/` are not started inside a test: a target or a file of that name
must exist.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

ROOT = Path(__file__).resolve().parents[2]
SHORT = ["train.steps=4", "train.batch_size=4", "train.log_every=2", "train.checkpoint_every=2"]


def commands(page):
    """The lines of the page's ```sh blocks, comments left out, continued lines joined."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


PAGES = sorted(
    str(path.relative_to(ROOT)) for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
)


def test_the_pages_that_should_hold_commands_do():
    assert len(commands("README.md")) >= 12
    assert len(commands("docs/tiny64.md")) >= 8
    assert len(commands("docs/own-classes.md")) >= 6


def words_of(line):
    """What `wordtree` is to be told; None for a line of another program, of which the parts are looked for."""
    words = shlex.split(line)
    if words[0] == "make":
        subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
    elif words[0] == "pip":
        assert words[1] == "install"
        extra = re.search(r"\[(.*)\]", words[2])
        assert extra is None or f'"{extra.group(1)}"' in (ROOT / "setup.py").read_text()
    elif words[0] == "python":
        assert (ROOT / words[1]).exists()
    else:
        assert words[0] == "wordtree", f"no test knows how to run {line!r}"
        more = SHORT if words[1] == "train" else []
        return [*words[1:], *(word for override in more for word in ("--set", override))]
    return None


def run_page(page, folder):
    """Every command of README.md in a process of its own, as a user's; those of another page in one."""
    told = [words for words in map(words_of, commands(page)) if words]
    if page == "README.md":
        processes = [(["wordtree", *words], None) for words in told]
    else:
        processes = [(["tests.e2e.page_process"], json.dumps(told))]
    for words, given in processes:
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=folder, input=given, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, f"{page}: {words}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page) and page != "docs/tiny64.md"])
def test_every_command_of_the_page_runs(page, user_folder, tmp_path):
    for path in user_folder.iterdir():
        (tmp_path / path.name).symlink_to(path.resolve())
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    run_page(page, tmp_path)


@pytest.mark.slow
def test_every_command_of_the_tiny64_page_runs_on_a_part_of_the_real_photos(shared, tmp_path):
    """The folder as it is, but a twelfth of the images, so that the commands take seconds."""
    source = shared("data", "joint", "tiny64")
    target = tmp_path / "tiny64"
    target.mkdir()
    shutil.copy(source / "synsets.csv", target)
    for name in ("det_train", "eval_fine", "eval_coarse"):
        (target / name / "images").mkdir(parents=True)
        data = json.loads((source / name / "instances.json").read_text())
        data["images"] = data["images"][::12]
        for image in data["images"]:
            (target / name / "images" / image["file_name"]).symlink_to(source / name / "images" / image["file_name"])
        kept = {image["id"] for image in data["images"]}
        data["annotations"] = [row for row in data["annotations"] if row["image_id"] in kept]
        (target / name / "instances.json").write_text(json.dumps(data))
    for folder in (source / "cls_train").iterdir():
        (target / "cls_train" / folder.name).mkdir(parents=True)
        for image in sorted(folder.iterdir())[::12]:
            (target / "cls_train" / folder.name / image.name).symlink_to(image)
    run_page("docs/tiny64.md", tmp_path)

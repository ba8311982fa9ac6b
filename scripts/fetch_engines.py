"""Fetch the programs of Flink and Prism into the cache folder, once; see docs/engines.md.

    python scripts/fetch_engines.py [flink] [prism]

Flink: with Maven, the job server of the Beam that is installed, from the repository that Maven is set up for. Where the
repository has none, one is put together from the libraries of scripts/flink_job_server.pom.xml: a real Flink with an
older Beam on the Java side. Runs with it say so. Prism: with Go, built from the module of the same Beam.

Prints a line for each; exits with 1 if something could not be had.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pipelines.engines.programs import cache_folder  # noqa: E402

BEAM = metadata.version("apache-beam")
SECONDS = 600
FLINK = "1.20"
ASSEMBLED = "flink-1.19-beam-2.62.0"  # what the pom names
POM = Path(__file__).with_name("flink_job_server.pom.xml")
MAVEN = ("mvn", "-B", "-q", "-Dstyle.color=never")
MAIN_CLASS = "org.apache.beam.runners.flink.FlinkJobServerDriver"
PRISM = "github.com/apache/beam/sdks/v2/go/cmd/prism"


def run(words: list[str], **environment: str) -> str:
    """Run a program; returns "" or what went wrong, in one line."""
    if shutil.which(words[0]) is None:
        return f"there is no {words[0]}"
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=SECONDS, env={**os.environ, **environment}, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{words[0]} took more than {SECONDS} s"
    printed = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)  # colours, which Maven shows all the same
    told = [line for line in printed.splitlines() if line.strip()]
    errors = [line for line in told if "ERROR" in line] or told
    return "" if done.returncode == 0 else " ".join(errors[0].split())[:300] if errors else f"{words[0]} failed"


def published_job_server(cache: Path) -> str:
    """The job server of this Beam; returns what went wrong."""
    name = f"beam-runners-flink-{FLINK}-job-server"
    target = cache / f"{name}-{BEAM}.jar"
    if target.exists():
        return ""
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        wrong = run(
            [*MAVEN, "dependency:copy", f"-Dartifact=org.apache.beam:{name}:{BEAM}", f"-DoutputDirectory={folder}"]
        )
        if not wrong:
            os.replace(Path(folder, target.name), target)
    return wrong


def assembled_job_server(cache: Path) -> str:
    """A job server from an older Beam's libraries: a jar that names them; returns what went wrong."""
    target = cache / ASSEMBLED
    if (target / "job-server.jar").exists():
        return ""
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        libraries = Path(folder, "new", "lib")
        wrong = run([*MAVEN, "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={libraries}"])
        if wrong:
            return wrong
        classes = " ".join(f"lib/{path.name}" for path in sorted(libraries.glob("*.jar")))
        with zipfile.ZipFile(libraries.parent / "job-server.jar", "w") as jar:
            jar.writestr("META-INF/MANIFEST.MF", manifest({"Main-Class": MAIN_CLASS, "Class-Path": classes}))
        shutil.rmtree(target, ignore_errors=True)
        os.replace(libraries.parent, target)
    return ""


def manifest(entries: dict[str, str]) -> str:
    """The text of a jar's manifest: lines of 72 bytes at most, the rest goes on after a space."""
    text = ""
    for key, value in {"Manifest-Version": "1.0", **entries}.items():
        line = f"{key}: {value}"
        while len(line) > 70:
            text, line = f"{text}{line[:70]}\r\n", f" {line[70:]}"
        text += f"{line}\r\n"
    return text + "\r\n"


def prism(cache: Path) -> str:
    """Prism of this Beam; returns what went wrong."""
    target = cache / f"prism-{BEAM}"
    if target.exists():
        return ""
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        wrong = run(["go", "install", f"{PRISM}@v{BEAM}"], GOBIN=folder)
        if not wrong:
            os.replace(Path(folder, "prism"), target)
    return wrong


def flink(cache: Path) -> str:
    """Some job server; returns what went wrong."""
    wrong = published_job_server(cache)
    if not wrong:
        return ""
    print(f"flink: no job server of Beam {BEAM} ({wrong}); putting {ASSEMBLED} together", flush=True)
    return assembled_job_server(cache)


def main(words: list[str]) -> int:
    """Fetch what is named, or everything."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    code = 0
    for name, fetch in (("flink", flink), ("prism", prism)):
        if words and name not in words:
            continue
        wrong = fetch(cache)
        print(f"{name}: {wrong or f'in {cache}'}", flush=True)
        code = code or int(bool(wrong))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Where the programs of the engines lie: Flink's job server, Java, Prism. Nothing is downloaded in a run.

Looked for in this order: the flag of Beam, an environment variable, the cache folder, Beam's own cache.
`scripts/fetch_engines.py` fills the cache folder.

    ~/.cache/wordtree/beam-runners-flink-1.20-job-server-2.77.0.jar     the job server of this Beam
    ~/.cache/wordtree/flink-1.19-beam-2.62.0/job-server.jar             one put together from an older Beam's libraries
    ~/.cache/wordtree/prism-2.77.0                                      Prism of this Beam
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ConfigError

FLINK_JAR_VARIABLE = "WORDTREE_FLINK_JAR"
PRISM_VARIABLE = "WORDTREE_PRISM"
FLINK_VERSIONS = ("1.20", "1.19", "2.2", "2.1", "2.0")  # the first that is there is taken
FETCH = "scripts/fetch_engines.py (docs/engines.md)"
_ASSEMBLED = re.compile(r"flink-(\d+\.\d+)-beam-(\d+\.\d+\.\d+)")
_PUBLISHED = re.compile(r"beam-runners-flink-(\d+\.\d+)-job-server-(\d+\.\d+\.\d+)")


@dataclass(frozen=True, slots=True)
class FlinkJar:
    """A job server.

    Attributes:
        path: of the jar, or its URL.
        flink, beam: versions as the path tells them; "" where it does not.
        whole: whether the jar holds all classes, so that it can be sent to a cluster.
    """

    path: str
    flink: str = ""
    beam: str = ""
    whole: bool = True

    def note(self, beam: str) -> str:
        """One line for people if this is the job server of another Beam than the one installed; "" if not."""
        if self.beam in ("", beam):
            return ""
        return f"Flink {self.flink}: its job server is of Beam {self.beam}, the workers are of Beam {beam}"


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder that `scripts/fetch_engines.py` fills."""
    base = environment.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "wordtree"


def described(path: str) -> FlinkJar:
    """A jar with the versions that its path tells."""
    published, assembled = _PUBLISHED.search(Path(path).name), _ASSEMBLED.search(Path(path).parent.name)
    told = published or assembled
    return FlinkJar(path, told[1] if told else "", told[2] if told else "", whole=assembled is None)


def find_flink_jar(
    flag: str, beam: str, *, whole: bool = False, environment: Mapping[str, str] = os.environ
) -> FlinkJar:
    """The job server for a run.

    Args:
        flag: value of --flink_job_server_jar, or "".
        beam: the version of Beam that is installed.
        whole: whether it will be sent to a cluster, so that it must hold all classes.
        environment: of this process.

    Raises:
        ConfigError: if there is none, or none at the path given.
    """
    for told, origin in (
        (flag, "--flink_job_server_jar"),
        (environment.get(FLINK_JAR_VARIABLE, ""), FLINK_JAR_VARIABLE),
    ):
        if told:
            if "://" not in told and not os.path.isfile(told):
                raise ConfigError(f"{origin} is {told!r}, but there is no such file; fetch a jar with {FETCH}")
            return described(told)
    for path in _jars(cache_folder(environment), beam):
        if path.is_file() and (not whole or described(str(path)).whole):
            return described(str(path))
    raise ConfigError(
        f"Flink's job server of Beam {beam} was not found; fetch it with {FETCH}, or name a jar with "
        f"--flink_job_server_jar or {FLINK_JAR_VARIABLE}"
    )


def _jars(cache: Path, beam: str) -> Iterable[Path]:
    """Where job servers may lie, the best first; one of this Beam before any other."""
    names = [f"beam-runners-flink-{flink}-job-server-{beam}.jar" for flink in FLINK_VERSIONS]
    yield from (cache / name for name in names)
    beams_own = Path(os.path.expanduser("~/.apache_beam/cache/jars"))
    yield from (beams_own / name for name in names)
    assembled = [path for path in cache.glob("flink-*-beam-*/job-server.jar") if _ASSEMBLED.fullmatch(path.parent.name)]
    yield from sorted(assembled, key=lambda path: _number(described(str(path)).beam), reverse=True)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def find_java(launcher: str) -> str:
    """The Java that starts the job server.

    Raises:
        ConfigError: if it cannot be started.
    """
    found = shutil.which(launcher)
    if found is None:
        raise ConfigError(
            f"Flink needs Java, and there is no {launcher!r} to start; install Java 11 or 17, or name it with "
            "--job_server_java_launcher"
        )
    return found


def find_prism(flag: str, beam: str, environment: Mapping[str, str] = os.environ) -> str:
    """The program of Prism for a run.

    Args:
        flag: value of --prism_location, or "".
        beam: the version of Beam that is installed.
        environment: of this process.

    Raises:
        ConfigError: if there is none, or none at the path given.
    """
    for told, origin in ((flag, "--prism_location"), (environment.get(PRISM_VARIABLE, ""), PRISM_VARIABLE)):
        if told:
            if "://" not in told and not os.path.isfile(told):
                raise ConfigError(f"{origin} is {told!r}, but there is no such file; fetch Prism with {FETCH}")
            return told
    path = cache_folder(environment) / f"prism-{beam}"
    if path.is_file():
        return str(path)
    raise ConfigError(
        f"Prism of Beam {beam} was not found; fetch it with {FETCH}, or name it with --prism_location or "
        f"{PRISM_VARIABLE}"
    )

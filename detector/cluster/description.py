"""Which workers a job has and which of them this process is, from the environment alone.

    TF_CONFIG    JSON {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}, as Kubeflow,
                 Vertex AI and scripts set it; a "chief", where there is one, is worker 0 and the others follow
    Slurm        SLURM_STEP_NODELIST, SLURM_STEP_NUM_TASKS, SLURM_STEP_TASKS_PER_NODE and SLURM_PROCID, as srun sets
                 them: task k listens on the port (WORDTREE_PORT, else 12345) + its number on its host

Worker 0 is the chief: it alone writes the run. No TensorFlow here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import ConfigError

PORT = 12345
KINDS = ("chief", "worker")
EXAMPLE = '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class ClusterDescription:
    """The workers of a job.

    Attributes:
        addresses: host:port of each, the chief first.
        index: of this process.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def workers(self) -> int:
        """How many there are."""
        return len(self.addresses)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run."""
        return self.index == 0

    def tf_config(self) -> str:
        """The same as TF_CONFIG, with worker 0 for the chief."""
        return json.dumps(
            {"cluster": {"worker": list(self.addresses)}, "task": {"type": "worker", "index": self.index}}
        )


def describe_cluster(environment: Mapping[str, str]) -> ClusterDescription:
    """The workers, from TF_CONFIG or else from Slurm.

    Raises:
        ConfigError: if neither is there, or what is there does not describe workers.
    """
    if environment.get("TF_CONFIG"):
        return from_tf_config(environment["TF_CONFIG"])
    if "SLURM_PROCID" in environment:
        return from_slurm(environment)
    raise ConfigError(
        f"train.strategy is 'multiworker', but neither TF_CONFIG nor Slurm says who the workers are; set TF_CONFIG for "
        f"each of them, such as {EXAMPLE}"
    )


def from_tf_config(text: str) -> ClusterDescription:
    """The workers that TF_CONFIG names.

    Raises:
        ConfigError: if it is no JSON, or lacks the cluster or this process's task.
    """
    try:
        data = json.loads(text)
        cluster, task = data["cluster"], data["task"]
        kind, index = str(task["type"]), int(task["index"])
        if not all(isinstance(cluster.get(each, []), list) for each in KINDS):
            raise TypeError("addresses are no list")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"TF_CONFIG {text[:200]!r} describes no cluster ({error}); expected {EXAMPLE}") from error
    if kind == "master":  # an older word
        kind = "chief"
    chiefs = [str(address) for address in cluster.get("chief", []) or cluster.get("master", [])]
    workers = [str(address) for address in cluster.get("worker", [])]
    number = index if kind == "chief" else len(chiefs) + index
    limit = {"chief": len(chiefs), "worker": len(chiefs) + len(workers)}.get(kind, 0)
    if kind not in KINDS or index < 0 or number >= limit:
        raise ConfigError(
            f"TF_CONFIG: this process is {kind} {index} of {len(chiefs)} chief and {len(workers)} workers; expected "
            "one of them (evaluators and parameter servers take no part: wordtree evaluates with --eval)"
        )
    return ClusterDescription(_checked([*chiefs, *workers], "TF_CONFIG"), number)


def from_slurm(environment: Mapping[str, str]) -> ClusterDescription:
    """The workers of a Slurm job step, one a task, in blocks: the first tasks on the first host.

    Raises:
        ConfigError: if a variable is missing or cannot be read, or the tasks are not laid out in blocks.
    """

    def read(*names: str) -> str:
        for name in names:
            if environment.get(name):
                return environment[name]
        raise ConfigError(f"Slurm: {' or '.join(names)} is not set; start the workers with srun")

    hosts = expand_hosts(read("SLURM_STEP_NODELIST", "SLURM_NODELIST"))
    counts = expand_counts(read("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"))
    number, port = read("SLURM_PROCID"), environment.get("WORDTREE_PORT", str(PORT))
    if len(hosts) != len(counts) or not number.isdigit() or not port.isdigit():
        raise ConfigError(
            f"Slurm: {len(hosts)} hosts with tasks {counts}, this one task {number!r}, port {port!r}; expected a count "
            "for each host and numbers"
        )
    if environment.get("SLURM_DISTRIBUTION", "block").split(",")[0].split(":")[0] not in ("block", "unknown"):
        raise ConfigError(
            f"Slurm: tasks are laid out by {environment['SLURM_DISTRIBUTION']!r}; give srun --distribution=block"
        )
    addresses = [
        f"{host}:{int(port) + local}" for host, count in zip(hosts, counts, strict=True) for local in range(count)
    ]
    if int(number) >= len(addresses):
        raise ConfigError(f"Slurm: this is task {number} of {len(addresses)}; expected a smaller number")
    return ClusterDescription(_checked(addresses, "Slurm"), int(number))


def expand_hosts(text: str) -> list[str]:
    """Slurm's short form: "a[01-03,7],b" is a01, a02, a03, a7, b.

    Raises:
        ConfigError: if the brackets do not match.
    """
    if set("[]") & set(re.sub(r"\[[^\[\]]*\]", "", text)):
        raise ConfigError(f"Slurm: the list of hosts {text!r} cannot be read; its brackets do not match")
    hosts: list[str] = []
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text):
        heads = [""]
        for piece in re.findall(r"\[[^\]]*\]|[^\[\]]+", part):
            found = _numbers(piece[1:-1], text) if piece[0] == "[" else [piece]
            heads = [head + end for head in heads for end in found]
        hosts += heads
    return hosts


def _numbers(text: str, whole: str) -> list[str]:
    found: list[str] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if not match:
            raise ConfigError(f"Slurm: the list of hosts {whole!r} cannot be read at {part!r}")
        first, last = match.group(1), match.group(2) or match.group(1)
        found += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return found


def expand_counts(text: str) -> list[int]:
    """Slurm's "2(x3),1" is 2, 2, 2, 1.

    Raises:
        ConfigError: if it is something else.
    """
    counts: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not match:
            raise ConfigError(f"Slurm: the tasks of the hosts {text!r} cannot be read at {part!r}")
        counts += [int(match.group(1))] * int(match.group(2) or 1)
    return counts


def _checked(addresses: list[str], where: str) -> tuple[str, ...]:
    """Addresses that can be listened on, each once."""
    wrong: Any = [each for each in addresses if not re.fullmatch(r".+:\d{1,5}", each)]
    if wrong:
        raise ConfigError(f"{where}: the address {wrong[0]!r} has no port; expected host:port")
    if twice := [each for each in addresses if addresses.count(each) > 1]:
        raise ConfigError(f"{where}: two workers have the address {twice[0]}; expected different ones")
    return tuple(addresses)

"""Whether TensorFlow computes with oneDNN on a CPU, which it asks the environment once, when it is imported.

TensorFlow's own choice is to leave oneDNN off on x86 CPUs without AVX-512. They gain as well (half of the CPU time of a
training step with AVX2), so there it is turned on, unless the user has decided. `detector` does so when it is imported
itself. With oneDNN sums are added in another order, so that results differ in their last digits.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
CPU_FACTS = Path("/proc/cpuinfo")


def choose(environment: MutableMapping[str, str] = os.environ, cpu_facts: Path = CPU_FACTS) -> None:
    """Set the variable where it is unset and the CPU has AVX2; elsewhere TensorFlow's own choice stands.

    Args:
        environment: of the process; TensorFlow must not have been imported yet.
        cpu_facts: Linux's description of the CPU; where there is none, nothing is chosen.
    """
    if VARIABLE in environment:
        return
    try:
        facts = cpu_facts.read_text(errors="replace")
    except OSError:
        return
    flags = next((line for line in facts.splitlines() if line.startswith("flags")), "")
    if "avx2" in flags.split():
        environment[VARIABLE] = "1"


def setting(environment: MutableMapping[str, str] = os.environ) -> str:
    """ "on", "off", or "as TensorFlow has it" on a CPU where nothing was chosen."""
    value = environment.get(VARIABLE)
    return "as TensorFlow has it" if value is None else "off" if value.strip().lower() in ("0", "false") else "on"

"""Measures programs against each other: interleaved, so that a busy machine slows all of them."""

import resource
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Program:
    """A command with its whole environment."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path


def interleaved(programs: Mapping[str, Program], *, rounds: int) -> dict[str, float]:
    """Run every program once per round, one after the other; gives medians of CPU seconds.

    CPU is that of the program and the processes it waits for. A first round is not counted: it
    compiles modules and fills the caches of the file system.
    """
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds + 1):
        for name, program in programs.items():
            seconds[name].append(_cpu_seconds(program))
    return {name: statistics.median(found[1:]) for name, found in seconds.items()}


def _cpu_seconds(program: Program) -> float:
    before = _of_children()
    done = subprocess.run(
        program.command,
        cwd=program.folder,
        env=dict(program.environment),
        capture_output=True,
        text=True,
        check=False,
    )
    spent = _of_children() - before
    if done.returncode:
        raise RuntimeError(f"{' '.join(program.command)}:\n{done.stdout}{done.stderr}")
    return spent


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime

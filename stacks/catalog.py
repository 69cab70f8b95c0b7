"""Finds the runbooks: one name, three places. A place without its partners stops the synth."""

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from lambdas.remediation.runbook import Runbook
from lambdas.remediation.step import StepInfo, steps_of

ROOT = Path(__file__).parents[1]
# Machines that are not runbooks.
ENVELOPE = "envelope"
APPROVE = "approve"


class CatalogError(Exception):
    """A runbook is not whole; the message names the missing place."""


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """One runbook with everything that is derived from it."""

    runbook: Runbook
    steps_module: ModuleType
    states: dict[str, Any]

    @property
    def steps(self) -> dict[str, StepInfo]:
        """Declared steps by name."""
        return steps_of(self.steps_module)


def machine(name: str, root: Path = ROOT) -> dict[str, Any]:
    """A file of statemachines/ as JSON."""
    definition: dict[str, Any] = json.loads(
        (root / "statemachines" / f"{name}.asl.json").read_text()
    )
    return definition


def discover(root: Path = ROOT) -> tuple[CatalogEntry, ...]:
    """Every runbook, by name.

    Raises
    ------
    CatalogError
        A folder, an ASL file or a test folder has no partner, or a name differs.
    """
    folders = _names(root / "lambdas/runbooks", lambda p: (p / "runbook.py").exists())
    tests = _names(root / "tests/runbooks", lambda p: any(p.glob("test_*.py")))
    files = {
        p.name.removesuffix(".asl.json") for p in (root / "statemachines").glob("*.asl.json")
    } - {ENVELOPE, APPROVE}
    places = {
        "lambdas/runbooks/{}/runbook.py": folders,
        "statemachines/{}.asl.json": files,
        "tests/runbooks/{}/test_*.py": tests,
    }
    for name in sorted(folders | files | tests):
        missing = [place.format(name) for place, names in places.items() if name not in names]
        if missing:
            raise CatalogError(f"runbook {name}: missing {', '.join(missing)}")
    return tuple(_entry(name, root) for name in sorted(folders))


def check_children(entries: tuple[CatalogEntry, ...]) -> None:
    """Refuse a runbook that starts one that is not there.

    Raises
    ------
    CatalogError
        Names the runbook and the child.
    """
    names = {entry.runbook.name for entry in entries}
    for entry in entries:
        for child in entry.runbook.children:
            if child not in names:
                raise CatalogError(f"runbook {entry.runbook.name}: there is no child {child}")


def _names(folder: Path, complete: Any) -> set[str]:
    return {p.name for p in folder.iterdir() if p.is_dir() and complete(p)}


def _entry(name: str, root: Path) -> CatalogEntry:
    declared: Runbook = importlib.import_module(f"lambdas.runbooks.{name}.runbook").RUNBOOK
    if declared.name != name:
        raise CatalogError(f"runbook {name}: its declaration calls it {declared.name}")
    return CatalogEntry(
        runbook=declared,
        steps_module=importlib.import_module(f"lambdas.runbooks.{name}.steps"),
        states=machine(name, root),
    )

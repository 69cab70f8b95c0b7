"""What tests there are of each runbook: counted in the test files, for the README and the pages."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from lambdas.remediation.frozen import Frozen
from lambdas.remediation.step import Role
from stacks.catalog import ROOT, CatalogEntry

TITLES = ("runbook", "unit", "engine", "of those with IAM enforced", "undo on the engine")


def table(entries: Sequence[CatalogEntry]) -> str:
    """The table as Markdown."""
    rows = [TITLES, tuple("---" for _ in TITLES), *(_row(e) for e in entries)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


class Tests(Frozen):
    """How many there are: of code alone, on the engine, and there with the roles enforced."""

    unit: int
    engine: int
    enforced: int
    undo: bool


def tests_of(name: str) -> Tests:
    """Count the tests of a runbook."""
    folder = ROOT / "tests/runbooks" / name
    engine = [folder / "test_engine.py", *(ROOT / "tests/e2e").glob(f"test_{name}*.py")]
    unit = [t for f in sorted(folder.glob("test_*.py")) if f not in engine for t in _tests(f)]
    runs = [test for file in engine if file.exists() for test in _tests(file)]
    return Tests(
        unit=len(unit),
        engine=len(runs),
        enforced=sum(bool(ENFORCED & {a.arg for a in t.args.args}) for t in runs),
        undo=any("undo" in ast.unparse(test) for test in runs),
    )


def model_only(name: str) -> tuple[str, ...]:
    """What was not tested on the engine, as `engine.py` beside the tests says it."""
    for node in ast.parse((ROOT / "tests/runbooks" / name / "engine.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODEL_ONLY":
            found: tuple[str, ...] = ast.literal_eval(node.value)
            return found
    return ()


def _row(entry: CatalogEntry) -> tuple[str, ...]:
    tests = tests_of(entry.runbook.name)
    counts = (tests.unit, tests.engine, tests.enforced)
    name = f"`{entry.runbook.name}`"
    return (name, *(str(count) for count in counts), _undo(entry, tests.undo))


def _undo(entry: CatalogEntry, undone: bool) -> str:
    if not entry.runbook.reversible:
        return "cannot be undone"
    if not any(s.role is Role.CHANGE and n != "roll_back" for n, s in entry.steps.items()):
        return "its children's"
    return "yes" if undone else "no"


# Fixtures whose engine checks every call against its caller's policies.
ENFORCED = {"enforced", "enforced_table", "small"}


def _tests(file: Path) -> Iterator[ast.FunctionDef]:
    return (
        node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )

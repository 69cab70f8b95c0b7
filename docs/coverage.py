"""What tests there are of each runbook: counted in the test files, for the table in the README."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from lambdas.remediation.step import Role
from stacks.catalog import ROOT, CatalogEntry

TITLES = ("runbook", "unit", "engine", "of those with IAM enforced", "undo on the engine")


def table(entries: Sequence[CatalogEntry]) -> str:
    """The table as Markdown."""
    rows = [TITLES, tuple("---" for _ in TITLES), *(_row(e) for e in entries)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(entry: CatalogEntry) -> tuple[str, ...]:
    name = entry.runbook.name
    folder = ROOT / "tests/runbooks" / name
    engine = [folder / "test_engine.py", *(ROOT / "tests/e2e").glob(f"test_{name}*.py")]
    unit = [t for f in sorted(folder.glob("test_*.py")) if f not in engine for t in _tests(f)]
    runs = [test for file in engine if file.exists() for test in _tests(file)]
    enforced = [t for t in runs if ENFORCED & {a.arg for a in t.args.args}]
    undone = any("undo" in ast.unparse(test) for test in runs)
    counts = (f"`{name}`", *(str(len(found)) for found in (unit, runs, enforced)))
    return (*counts, _undo(entry, undone))


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

"""Every line of the operations runbook, and what has become of it.

The procedures are read from `docs/operations-runbook.md`, a copy of the page that this product
replaces. What does each line now stands beside the tests of its runbook, in
`tests/runbooks/<name>/traceability.json`: the states, the tests that prove it, or why it is not
done. A line without an entry, an entry without its line, and a name that leads nowhere fail.
"""

import ast
import functools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lambdas.remediation.runbook import Runbook
from stacks.catalog import ENVELOPE, ROOT, CatalogEntry, machine

SOURCE = Path("docs/operations-runbook.md")
HEADING = "| line of the procedure | states | tests | instead |"
_SECTION = re.compile(r"^### (?:Runbook: )?(.+)$")
_PART = re.compile(r"^\*\*([^*]+?):?\*\*:?\s*(.*)$")
_STEP = re.compile(r"^(\d+\.)\s+(.*)$")
# What says what a procedure is for, not what to do.
_ABOUT = ("Purpose", "Severity", "Symptoms")
MIN_REASON_CHARACTERS = 20


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What one line has become."""

    line: str
    states: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    deviation: str = ""


def procedures(text: str) -> dict[str, list[str]]:
    """Lines of each procedure that say what to do, check or take back, by its title.

    Notes
    -----
    A line is a numbered step, a point of a list, or a command that stands outside of a step
    (`Verification`, `Rollback`). The commands of a step belong to it. The part of the procedure
    leads the line, so that each is there once.
    """
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    part = step = ""
    code = continued = False
    for raw in text.splitlines():
        line = raw.strip()
        if match := _SECTION.match(line):
            lines = found.setdefault(match[1], [])
            part, step = "Steps", ""
        elif line.startswith("## "):
            lines = []
        elif line.startswith("```"):
            code, continued = not code, False
        elif code:
            if not step and line and not continued and not line.startswith("#"):
                lines.append(f"{part}: {_plain(line)}")
            continued = line.endswith("\\")
        elif match := _STEP.match(line):
            step = match[1]
            lines.append(f"{part}: {step} {_plain(match[2])}")
        elif line.startswith("- ") and part not in _ABOUT:
            lines.append(f"{part}: {f'{step} ' if step else ''}- {_plain(line[2:])}")
        elif match := _PART.match(line):
            part, step = match[1], ""
    return {title: _once(lines) for title, lines in found.items() if lines}


def _plain(line: str) -> str:
    return line.replace("**", "").rstrip("\\").strip()


def _once(lines: Sequence[str]) -> list[str]:
    """Lines that are there twice get their number."""
    seen: dict[str, int] = {}
    named = []
    for line in lines:
        seen[line] = seen.get(line, 0) + 1
        named.append(line if seen[line] == 1 else f"{line} ({seen[line]})")
    return named


def title_of(runbook: Runbook) -> str:
    """Title of the procedure that a runbook automates."""
    return runbook.source.rpartition(", ")[2]


def traces(name: str, root: Path = ROOT) -> list[Trace]:
    """What is written down for a runbook; empty if nothing is."""
    path = root / "tests/runbooks" / name / "traceability.json"
    if not path.exists():
        return []
    return [
        Trace(
            line=one["line"],
            states=tuple(one.get("states", ())),
            tests=tuple(one.get("tests", ())),
            deviation=one.get("deviation", ""),
        )
        for one in json.loads(path.read_text())
    ]


def problems(entry: CatalogEntry, lines: Sequence[str], found: Sequence[Trace]) -> Iterator[str]:
    """Whatever is not mapped, is mapped to nothing, or is mapped and not there any more."""
    written = [one.line for one in found]
    yield from (f"not mapped: {line}" for line in lines if line not in written)
    yield from (f"not in the procedure: {line}" for line in written if line not in lines)
    states = set(machine(ENVELOPE)["States"]) | set(entry.states["States"])
    for one in found:
        if not (one.states and one.tests) and len(one.deviation) < MIN_REASON_CHARACTERS:
            yield f"neither states with tests nor a reason: {one.line}"
        yield from (f"no state {s}: {one.line}" for s in one.states if s not in states)
        yield from (f"no test {t}: {one.line}" for t in one.tests if not is_test(t))


def is_test(name: str) -> bool:
    """Whether `<file below tests/>::<name>` is a test function, or one of a class."""
    path, _, function = name.partition("::")
    return function.rpartition("::")[2] in test_names(ROOT / "tests" / path)


@functools.cache
def test_names(path: Path) -> frozenset[str]:
    """Names of the test functions of a file; empty if there is none."""
    if not path.exists():
        return frozenset()
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def page(entries: Sequence[CatalogEntry]) -> str:
    """The whole table as Markdown."""
    lines = [
        "# From the operations runbook to the machines",
        "",
        "Generated by `make docs` from `tests/runbooks/*/traceability.json`, checked by a test: "
        "each step, check and rollback of [the runbook](operations-runbook.md) is done by states "
        "that tests prove, or it says why not.",
        "",
    ]
    for entry in entries:
        book = entry.runbook
        lines += [f"## {title_of(book)}", ""]
        lines += [f"[`{book.name}`](runbooks/{book.name}.md)", "", HEADING, "|---|---|---|---|"]
        lines += [_row(one) for one in traces(book.name)]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _row(one: Trace) -> str:
    cells = (
        one.line,
        "<br>".join(f"`{s}`" for s in one.states),
        "<br>".join(f"`{t}`" for t in one.tests),
        one.deviation,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

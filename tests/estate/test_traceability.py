"""No line of the operations runbook is lost: it is done and proven, or it says why not."""

import dataclasses

import pytest

from docs.traceability import SOURCE, Trace, problems, procedures, title_of, traces
from stacks.catalog import ROOT, discover

ENTRIES = {entry.runbook.name: entry for entry in discover()}
PROCEDURES = procedures((ROOT / SOURCE).read_text())
DONE = Trace(
    line="Steps: 1. Do it",
    states=("Verify",),
    tests=("estate/test_traceability.py::test_every_procedure_is_a_runbook",),
)


def test_every_procedure_is_a_runbook():
    assert {title_of(entry.runbook) for entry in ENTRIES.values()} == set(PROCEDURES)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_line_is_mapped(name):
    entry = ENTRIES[name]
    assert list(problems(entry, PROCEDURES[title_of(entry.runbook)], traces(name))) == []


# --- what the check finds ---


def found(*written: Trace, lines=("Steps: 1. Do it",)) -> list[str]:
    return list(problems(ENTRIES["create_user"], lines, written))


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ([], "not mapped: Steps: 1. Do it"),
        ([DONE, dataclasses.replace(DONE, line="Gone")], "not in the procedure: Gone"),
        ([dataclasses.replace(DONE, states=("Nope",))], "no state Nope: Steps: 1. Do it"),
        (
            [dataclasses.replace(DONE, tests=("estate/test_traceability.py::test_nope",))],
            "no test estate/test_traceability.py::test_nope: Steps: 1. Do it",
        ),
        (
            [Trace(line="Steps: 1. Do it", deviation="no")],
            "neither states with tests nor a reason: Steps: 1. Do it",
        ),
    ],
    ids=["a line without entry", "a stale entry", "no such state", "no such test", "no reason"],
)
def test_is_found(written, problem):
    assert found(*written) == [problem]


def test_what_is_done_and_proven_is_fine():
    assert found(DONE) == []


def test_lines_are_steps_points_and_commands_outside_of_steps():
    text = """
### Runbook: Try It
**Purpose**: nothing to do
**Steps**:
1. **First**
   ```bash
   aws first \\
     --more
   ```
   - a point
**Verification**:
- it is there
**Rollback**:
```bash
# a comment
aws back \\
  --more
aws back
```
"""
    assert procedures(text) == {
        "Try It": [
            "Steps: 1. First",
            "Steps: 1. - a point",
            "Verification: - it is there",
            "Rollback: aws back",
            "Rollback: aws back (2)",
        ]
    }

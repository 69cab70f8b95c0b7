"""What is generated and committed is what would be generated now."""

import json

import pytest

from docs.generate import COMPOSED, GENERATORS, composed_machines, generate
from stacks.catalog import ROOT, discover


@pytest.mark.parametrize("folder", GENERATORS, ids=str)
def test_the_committed_files_are_up_to_date(folder):
    pages = GENERATORS[folder]()

    stale = [str(path) for path, text in pages.items() if (ROOT / path).read_text() != text]
    assert stale == [], "run `make docs` and commit what it changes"
    committed = {path.relative_to(ROOT) for path in (ROOT / folder).iterdir()}
    assert committed == set(pages)


def test_every_runbook_has_its_composed_machine():
    assert set(composed_machines()) == {
        COMPOSED / f"{entry.runbook.name}.asl.json" for entry in discover()
    }


def test_a_composed_machine_is_readable_and_keeps_its_tokens():
    text = composed_machines()[COMPOSED / "dynamodb_throttling.asl.json"]

    assert "\n" in text
    assert "${ChangeFunctionArn}" in text
    assert json.loads(text)["States"]["ChooseMode"]["Default"] == "BumpCapacity"


def test_what_no_runbook_gives_any_more_is_deleted(tmp_path):
    (tmp_path / COMPOSED).mkdir(parents=True)
    (tmp_path / COMPOSED / "gone.asl.json").write_text("{}")

    generate(tmp_path)

    written = {path.relative_to(tmp_path) for path in (tmp_path / COMPOSED).iterdir()}
    assert written == set(composed_machines())

"""A runbook is three places with one name; a place without its partners stops the synth."""

import shutil
import sys
from types import ModuleType

import pytest

from lambdas.runbooks.dynamodb_throttling.runbook import RUNBOOK
from stacks.catalog import CatalogError, check_children, discover

PLACES = {
    "declaration": "lambdas/runbooks/dynamodb_throttling/runbook.py",
    "machine": "statemachines/dynamodb_throttling.asl.json",
    "tests": "tests/runbooks/dynamodb_throttling/test_policy.py",
}
MESSAGE = {
    "declaration": "lambdas/runbooks/dynamodb_throttling/runbook.py",
    "machine": "statemachines/dynamodb_throttling.asl.json",
    "tests": "tests/runbooks/dynamodb_throttling/test_*.py",
}


@pytest.fixture
def repository(tmp_path):
    """A repository with one whole runbook, and the machines that are none."""
    for place in PLACES.values():
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"StartAt": "Act", "States": {}}')
    for machine in ("envelope", "approve"):
        (tmp_path / f"statemachines/{machine}.asl.json").write_text("{}")
    return tmp_path


def test_a_child_that_is_not_there_stops_the_synth():
    (throttling,) = [e for e in discover() if e.runbook.name == "dynamodb_throttling"]
    with pytest.raises(CatalogError, match="there is no child back_up_dynamodb_table"):
        check_children((throttling,))


def test_finds_the_whole_runbook(repository):
    (entry,) = discover(repository)

    assert entry.runbook is RUNBOOK
    assert entry.states == {"StartAt": "Act", "States": {}}
    assert "bump_capacity" in entry.steps


def test_finds_the_committed_runbooks_in_order():
    names = [entry.runbook.name for entry in discover()]

    assert "dynamodb_throttling" in names
    assert names == sorted(names)


@pytest.mark.parametrize("place", PLACES)
def test_names_the_place_that_is_missing(repository, place):
    (repository / PLACES[place]).unlink()

    with pytest.raises(CatalogError) as error:
        discover(repository)

    assert str(error.value) == f"runbook dynamodb_throttling: missing {MESSAGE[place]}"


def test_names_every_place_that_is_missing(repository):
    (repository / "statemachines/lambda_errors.asl.json").write_text("{}")

    with pytest.raises(CatalogError) as error:
        discover(repository)

    assert str(error.value) == (
        "runbook lambda_errors: missing lambdas/runbooks/lambda_errors/runbook.py, "
        "tests/runbooks/lambda_errors/test_*.py"
    )


def test_a_folder_of_compiled_files_is_no_runbook(repository):
    (repository / "lambdas/runbooks/__pycache__").mkdir()

    assert len(discover(repository)) == 1


def test_refuses_a_declaration_with_another_name(repository, monkeypatch):
    for place in ("lambdas/runbooks", "tests/runbooks"):
        shutil.copytree(
            repository / place / "dynamodb_throttling", repository / place / "table_throttling"
        )
    (repository / "statemachines/table_throttling.asl.json").write_text("{}")
    copied = ModuleType("lambdas.runbooks.table_throttling.runbook")
    copied.RUNBOOK = RUNBOOK
    monkeypatch.setitem(sys.modules, copied.__name__, copied)

    with pytest.raises(CatalogError) as error:
        discover(repository)

    assert str(error.value) == (
        "runbook table_throttling: its declaration calls it dynamodb_throttling"
    )

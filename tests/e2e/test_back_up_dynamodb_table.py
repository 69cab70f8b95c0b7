"""A backup by a person, and as a child of the throttling runbook, under its lock.

`ineffective` is not reached here: a backup is proven or deleted, and only a verification that
crashes after the same look has just succeeded could end so.
"""

import json
from typing import Any

import pytest

from tests.e2e.product import Product
from tests.e2e.test_dynamodb_throttling_iam import role_of, without

pytestmark = pytest.mark.engine

MACHINE = "back-up-dynamodb-table"
OBSERVE = "back_up_dynamodb_table.handler.observe"
CHANGE = "back_up_dynamodb_table.handler.change"


def backups(product: Product, table: str) -> list[dict[str, Any]]:
    listed = product.client("dynamodb").list_backups(TableName=table)["BackupSummaries"]
    return [b for b in listed if b["BackupStatus"] != "DELETED"]


def back_up(product: Product, given: dict[str, Any]) -> dict[str, Any]:
    return product.run(given, machine=product.machine(MACHINE))


def test_backup_is_verified_and_can_be_undone(product: Product, table: str) -> None:
    answer = back_up(product, {"target": {"table_name": table}})
    (made,) = backups(product, table)
    undone = back_up(product, {"undo": answer["run_id"]})
    assert (answer["outcome"], made["BackupStatus"]) == ("verified", "AVAILABLE")
    assert (undone["outcome"], backups(product, table)) == ("verified", [])


def test_observe_makes_no_backup(product: Product, table: str) -> None:
    answer = back_up(product, {"target": {"table_name": table}, "mode": "observe"})
    assert answer["outcome"] == "proposed"
    assert [c["api"] for c in answer["plan"]["calls"]] == ["dynamodb:CreateBackup"]
    assert backups(product, table) == []


def test_proposed_backup_waits_for_a_yes(product: Product, table: str) -> None:
    asked = product.proposed({"target": {"table_name": table}}, product.machine(MACHINE))
    meanwhile = backups(product, table)
    product.approve(asked)
    assert product.ended(asked.execution)["outcome"] == "verified"
    assert (meanwhile, len(backups(product, table))) == ([], 1)


def test_backup_while_another_run_looks_after_the_table_is_a_duplicate(
    product: Product, table: str
) -> None:
    asked = product.proposed({"target": {"table_name": table}}, product.machine(MACHINE))
    answer = back_up(product, {"target": {"table_name": table}})
    product.approve(asked, "reject")
    assert (answer["status"], answer["outcome"]) == ("SUCCEEDED", "duplicate")
    assert answer["duplicate_of"] == asked.run_id
    assert product.told(answer["run_id"]) == []
    assert backups(product, table) == []


def test_second_backup_at_once_is_refused_by_the_cool_down(product: Product, table: str) -> None:
    back_up(product, {"target": {"table_name": table}})
    again = back_up(product, {"target": {"table_name": table}})
    assert (again["outcome"], len(backups(product, table))) == ("refused", 1)


def test_wrong_input_is_refused_with_an_example(product: Product) -> None:
    answer = back_up(product, {})
    assert answer["outcome"] == "refused"
    example = json.loads(answer["reason"].partition("Try: ")[2])
    assert example["mode"] == "observe"


def test_backup_with_the_deployed_roles(enforced: Product, enforced_table: str) -> None:
    answer = back_up(enforced, {"target": {"table_name": enforced_table}})
    undone = back_up(enforced, {"undo": answer["run_id"]})
    assert (answer["outcome"], undone["outcome"]) == ("verified", "verified"), answer["reason"]


def test_plan_is_shown_then_approved_with_the_deployed_roles(
    enforced: Product, enforced_table: str
) -> None:
    given = {"target": {"table_name": enforced_table}}
    observed = back_up(enforced, {**given, "mode": "observe"})
    asked = enforced.proposed(given, enforced.machine(MACHINE))
    enforced.approve(asked)
    answer = enforced.ended(asked.execution)
    assert observed["outcome"] == "proposed", observed["reason"]
    assert (answer["mode"], answer["outcome"]) == ("propose", "verified"), answer["reason"]
    assert len(backups(enforced, enforced_table)) == 1


def test_backup_that_cannot_be_made_is_handed_over(enforced: Product, enforced_table: str) -> None:
    with without(enforced, role_of(enforced, CHANGE), "dynamodb:CreateBackup"):
        answer = back_up(enforced, {"target": {"table_name": enforced_table}})
    (message,) = enforced.told(answer["run_id"])
    assert (answer["status"], answer["error"]) == ("FAILED", "handed_over")
    assert answer["reason"].startswith("nothing was changed: ")
    assert (answer["changes"], backups(enforced, enforced_table)) == ([], [])
    assert message["severity"] == "page"
    assert not enforced.locked(enforced_table)


def test_backup_that_cannot_be_proven_is_deleted(enforced: Product, enforced_table: str) -> None:
    with without(enforced, role_of(enforced, OBSERVE), "dynamodb:DescribeBackup"):
        answer = back_up(enforced, {"target": {"table_name": enforced_table}})
    (message,) = enforced.told(answer["run_id"])
    assert (answer["status"], answer["error"]) == ("FAILED", "rolled_back")
    assert "dynamodb:DescribeBackup" in answer["reason"]
    assert backups(enforced, enforced_table) == []
    assert message["severity"] == "page"
    assert not enforced.locked(enforced_table)


def test_unproven_backup_that_cannot_be_deleted_is_quarantined(
    enforced: Product, enforced_table: str
) -> None:
    observe, change = role_of(enforced, OBSERVE), role_of(enforced, CHANGE)
    with (
        without(enforced, observe, "dynamodb:DescribeBackup"),
        without(enforced, change, "dynamodb:DeleteBackup"),
    ):
        answer = back_up(enforced, {"target": {"table_name": enforced_table}})
    refused = back_up(enforced, {"target": {"table_name": enforced_table}})
    (made,) = backups(enforced, enforced_table)
    (message,) = enforced.told(answer["run_id"])
    assert (answer["status"], answer["error"]) == ("FAILED", "rollback_failed")
    assert [c["after"]["BackupName"] for c in answer["changes"]] == [made["BackupName"]]
    assert f"is quarantined since run {answer['run_id']}" in refused["reason"]
    assert message["severity"] == "page"


def test_throttled_table_is_backed_up_before_it_is_changed(
    enforced: Product, enforced_table: str
) -> None:
    """Under IAM: the parent starts, follows and reads its child with the deployed roles."""
    with enforced.load(enforced_table):
        answer = enforced.act(enforced_table)
    (made,) = backups(enforced, enforced_table)
    described = enforced.client("dynamodb").describe_backup(BackupArn=made["BackupArn"])
    child = enforced.record(answer["child"])
    assert (answer["outcome"], child["outcome"]) == ("verified", "verified")
    assert enforced.capacity(enforced_table)[0] > 5
    assert described["BackupDescription"]["BackupDetails"]["BackupStatus"] == "AVAILABLE"
    # One message for both.
    assert len(enforced.told(answer["run_id"])) == 1
    assert enforced.told(answer["child"]) == enforced.told(answer["run_id"])

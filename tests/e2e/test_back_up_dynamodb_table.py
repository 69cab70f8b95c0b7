"""A backup by a person, and as a child of the throttling runbook, under its lock."""

import json
from typing import Any

import pytest

from tests.e2e.product import Product, eventually

pytestmark = pytest.mark.engine


def backups(product: Product, table: str) -> list[dict[str, Any]]:
    listed = product.client("dynamodb").list_backups(TableName=table)["BackupSummaries"]
    return [b for b in listed if b["BackupStatus"] != "DELETED"]


def back_up(product: Product, given: dict[str, Any]) -> dict[str, Any]:
    return product.run(given, machine=product.machine("back-up-dynamodb-table"))


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
    given = {"target": {"table_name": table}, "mode": "propose"}
    execution = product.start(given, machine=product.machine("back-up-dynamodb-table"))
    run_id = f"back-up-dynamodb-table:{execution.rpartition(':')[2]}"
    item = eventually(
        lambda: "approval_token" in (found := product.record(run_id)) and found, what="the token"
    )
    yes = {"run_id": run_id, "plan_hash": item["plan_hash"], "decision": "approve"}
    product.run(yes, machine=product.approve_machine)
    assert product.ended(execution)["outcome"] == "verified"
    assert len(backups(product, table)) == 1


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

"""Insights and indexes on the deployed product. The engine fills an index at once and has no
Contributor Insights rules: both are tested with Stubber and fakes beside this file.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.product import INDEX, Product, eventually

pytestmark = pytest.mark.engine

NEW = "by-day"
WANTED = {
    "index_name": NEW,
    "partition_key": "owner",
    "partition_key_type": "S",
    "sort_key": "day",
    "sort_key_type": "N",
    "include": ["title"],
}
THROTTLED = {"insights": "throttled_keys", "show_keys": True}


def optimize(product: Product, given: dict[str, Any]) -> dict[str, Any]:
    return product.run(given, machine=product.machine("optimize-dynamodb-queries"))


def insights(product: Product, table: str) -> tuple[str, str | None]:
    found = product.client("dynamodb").describe_contributor_insights(TableName=table)
    return found["ContributorInsightsStatus"], found.get("ContributorInsightsMode")


def indexes(product: Product, table: str) -> dict[str, dict[str, Any]]:
    found = product.client("dynamodb").describe_table(TableName=table)["Table"]
    return {i["IndexName"]: i for i in found["GlobalSecondaryIndexes"]}


def put_reads(product: Product, table: str) -> None:
    """The new index is read, every second from now on for a minute and since three seconds."""
    dimensions = {"TableName": table, "GlobalSecondaryIndexName": NEW}
    now = datetime.now(UTC)
    product.client("cloudwatch").put_metric_data(
        Namespace="AWS/DynamoDB",
        MetricData=[
            {
                "MetricName": "ConsumedReadCapacityUnits",
                "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions.items()],
                "Timestamp": now + timedelta(seconds=second),
                "Value": 2,
            }
            for second in range(-3, 60)
        ],
    )


def test_insights_and_index_are_made_and_taken_back(product: Product) -> None:
    table = product.create_table()
    given = {"target": {"table_name": table}, "parameters": {**THROTTLED, "index": WANTED}}
    answer = optimize(product, given)
    made, mode = indexes(product, table), insights(product, table)
    undone = optimize(product, {"undo": answer["run_id"]})
    assert answer["outcome"] == "verified", answer["reason"]
    assert mode == ("ENABLED", "THROTTLED_KEYS")
    assert made[NEW]["KeySchema"] == [
        {"AttributeName": "owner", "KeyType": "HASH"},
        {"AttributeName": "day", "KeyType": "RANGE"},
    ]
    assert made[NEW]["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["title"]}
    assert made[NEW]["ProvisionedThroughput"]["WriteCapacityUnits"] == 5
    assert undone["outcome"] == "verified", undone["reason"]
    assert insights(product, table)[0] == "DISABLED"
    assert list(indexes(product, table)) == [INDEX]


def test_undo_keeps_an_index_that_is_read(product: Product) -> None:
    table = product.create_table()
    given = {"target": {"table_name": table}, "parameters": {"index": WANTED}}
    answer = optimize(product, given)
    put_reads(product, table)
    undone = optimize(product, {"undo": answer["run_id"]})
    assert undone["outcome"] == "refused"
    assert "was read in the last" in undone["reason"]
    assert NEW in indexes(product, table)


def test_observe_reports_and_changes_nothing(product: Product) -> None:
    table = product.create_table()
    report = optimize(product, {"target": {"table_name": table}, "mode": "observe"})
    given = {"target": {"table_name": table}, "mode": "observe", "parameters": {"index": WANTED}}
    planned = optimize(product, given)
    assert report["outcome"] == "proposed"
    assert "Nothing to change was asked for." in report["reason"]
    assert [c["api"] for c in planned["plan"]["calls"]] == ["dynamodb:UpdateTable"]
    assert insights(product, table) == ("DISABLED", None)
    assert list(indexes(product, table)) == [INDEX]


def test_insights_without_consent_are_refused(product: Product) -> None:
    table = product.create_table()
    given = {"target": {"table_name": table}, "parameters": {"insights": "throttled_keys"}}
    answer = optimize(product, given)
    assert answer["outcome"] == "refused"
    assert answer["reason"].startswith("parameters.show_keys: ")
    assert insights(product, table) == ("DISABLED", None)


def test_approved_index_and_its_undo_with_the_deployed_roles(enforced: Product) -> None:
    table = enforced.create_table()
    machine = enforced.machine("optimize-dynamodb-queries")
    given = {
        "target": {"table_name": table},
        "mode": "propose",
        "parameters": {**THROTTLED, "index": WANTED},
    }
    execution = enforced.start(given, machine=machine)
    run_id = f"optimize-dynamodb-queries:{execution.rpartition(':')[2]}"
    item = eventually(
        lambda: "approval_token" in (found := enforced.record(run_id)) and found, what="the token"
    )
    untouched = list(indexes(enforced, table))
    yes = {"run_id": run_id, "plan_hash": item["plan_hash"], "decision": "approve"}
    enforced.run(yes, machine=enforced.approve_machine)
    answer = enforced.ended(execution)
    made = set(indexes(enforced, table))
    undone = optimize(enforced, {"undo": run_id})
    assert untouched == [INDEX]
    assert answer["outcome"] == "verified", answer["reason"]
    assert made == {INDEX, NEW}
    assert undone["outcome"] == "verified", undone["reason"]
    assert list(indexes(enforced, table)) == [INDEX]

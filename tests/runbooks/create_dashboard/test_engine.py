"""A dashboard from a person's start to its undo, in the deployed product.

The engine knows no validation messages: what follows from those is tested at the steps, with the
answer as CloudWatch words it.
"""

import itertools
import json
from typing import Any

import pytest

from tests.e2e.product import Product, eventually

pytestmark = pytest.mark.engine

OLD = '{ "widgets": [{"type": "text", "properties": {"markdown": "by hand"}}] }'
_numbers = itertools.count()


@pytest.fixture
def board() -> str:
    """A dashboard of the platform file that no other test uses; it does not exist."""
    return f"Orders-board-{next(_numbers)}"


def run(product: Product, given: dict[str, Any]) -> dict[str, Any]:
    return product.run(given, machine=product.machine("create-dashboard"))


def body(product: Product, board: str) -> str | None:
    cloudwatch = product.client("cloudwatch")
    if board not in [
        d["DashboardName"] for d in cloudwatch.list_dashboards().get("DashboardEntries", [])
    ]:
        return None
    return str(cloudwatch.get_dashboard(DashboardName=board)["DashboardBody"])


def put(product: Product, board: str, text: str) -> None:
    product.client("cloudwatch").put_dashboard(DashboardName=board, DashboardBody=text)


def test_dashboard_is_created_and_undo_deletes_it(product: Product, board: str) -> None:
    answer = run(product, {"target": {"dashboard_name": board}})
    made = json.loads(body(product, board) or "{}")
    undone = run(product, {"undo": answer["run_id"]})
    assert answer["outcome"] == "verified", answer["reason"]
    assert "Orders-00: throttles" in [w["properties"].get("title") for w in made["widgets"]]
    assert undone["outcome"] == "verified", undone["reason"]
    assert body(product, board) is None


def test_undo_puts_the_old_body_back_to_the_letter(product: Product, board: str) -> None:
    put(product, board, OLD)
    answer = run(product, {"target": {"dashboard_name": board}})
    replaced = body(product, board)
    undone = run(product, {"undo": answer["run_id"]})
    (told,) = [m for m in product.told(answer["run_id"]) if m["outcome"] == "verified"][:1]
    assert (answer["outcome"], undone["outcome"]) == ("verified", "verified")
    assert replaced != OLD
    assert body(product, board) == OLD
    # People get the digests; the bodies stay in the record.
    assert max(len(line) for line in told["text"].splitlines()) < 500


def test_observe_shows_the_call_and_writes_nothing(product: Product, board: str) -> None:
    answer = run(product, {"target": {"dashboard_name": board}, "mode": "observe"})
    (call,) = answer["plan"]["calls"]
    assert answer["outcome"] == "proposed"
    assert call["api"] == "cloudwatch:PutDashboard"
    assert call["arguments"]["DashboardBody"].startswith("sha256:")
    assert body(product, board) is None


def test_second_run_has_nothing_to_do(product: Product, board: str) -> None:
    run(product, {"target": {"dashboard_name": board}})
    again = run(product, {"target": {"dashboard_name": board}})
    assert again["outcome"] == "refused"
    assert again["reason"].startswith(f"nothing to do: dashboard {board} shows just this")


def test_yes_to_a_dashboard_that_changed_meanwhile_replaces_nothing(
    product: Product, board: str
) -> None:
    given = {"target": {"dashboard_name": board}, "mode": "propose"}
    execution = product.start(given, machine=product.machine("create-dashboard"))
    run_id = f"create-dashboard:{execution.rpartition(':')[2]}"
    item = eventually(
        lambda: "approval_token" in (found := product.record(run_id)) and found, what="the token"
    )
    put(product, board, OLD)
    yes = {"run_id": run_id, "plan_hash": item["plan_hash"], "decision": "approve"}
    product.run(yes, machine=product.approve_machine)
    assert product.ended(execution)["outcome"] == "refused"
    assert body(product, board) == OLD


def test_dashboard_and_undo_with_the_deployed_roles(enforced: Product, board: str) -> None:
    put(enforced, board, OLD)
    answer = run(enforced, {"target": {"dashboard_name": board}})
    undone = run(enforced, {"undo": answer["run_id"]})
    assert (answer["outcome"], undone["outcome"]) == ("verified", "verified"), answer["reason"]
    assert body(enforced, board) == OLD


def test_creation_is_undone_with_the_deployed_roles(enforced: Product, board: str) -> None:
    answer = run(enforced, {"target": {"dashboard_name": board}})
    undone = run(enforced, {"undo": answer["run_id"]})
    assert (answer["outcome"], undone["outcome"]) == ("verified", "verified"), undone["reason"]
    assert body(enforced, board) is None

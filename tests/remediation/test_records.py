"""The run table: plain values in, the same values out, one item per concept."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.remediation.contracts import Decision, Plan, encode
from lambdas.remediation.records import epoch, from_item, moment, record_of, to_item

scalars = st.text() | st.integers(-(10**30), 10**30) | st.booleans()


@given(st.dictionaries(st.text(min_size=1), scalars))
def test_plain_values_survive_the_item_form(values):
    assert from_item(to_item(values)) == values


def test_absent_values_are_left_out():
    assert to_item({"a": None, "b": "x"}) == {"b": {"S": "x"}}


def test_composite_values_are_json_text():
    assert to_item({"a": {"b": [1]}}) == {"a": {"S": '{"b": [1]}'}}


def test_contracts_are_encoded():
    plan = Plan(decision=Decision.CHANGE, reason="busy")
    assert json.loads(to_item({"plan": plan})["plan"]["S"]) == {
        "decision": "change",
        "reason": "busy",
        "calls": [],
        "child": None,
        "then": [],
        "evidence": {},
        "would_refuse": [],
        "report": False,
    }


def test_item_that_is_not_there_is_empty():
    assert from_item(None) == {}


def test_seconds_of_a_moment_are_whole_and_come_back():
    at = datetime(2026, 3, 2, 12, 10, 0, 999_000, tzinfo=UTC)
    assert epoch(at) == 1_772_453_400
    assert moment(1_772_453_400) == datetime(2026, 3, 2, 12, 10, tzinfo=UTC)


# --- records ---


def test_record_that_was_refused_early_has_no_run():
    record = record_of(
        {"pk": "RUN#x:1", "state": "open", "refusal": '{"error": "MutedError", "message": "off"}'}
    )
    assert (record.run_id, record.run, record.plan, record.claimed, record.answer) == (
        "x:1",
        None,
        None,
        False,
        None,
    )
    assert record.refusal == {"error": "MutedError", "message": "off"}


def test_record_keeps_snapshot_and_plan():
    plan = Plan(decision=Decision.CHANGE, reason="busy")
    record = record_of(
        {
            "pk": "RUN#x:1",
            "state": "closed",
            "plan": json.dumps(encode(plan)),
            "snapshot": '{"WriteCapacityUnits": 5}',
            "answer": '{"outcome": "verified"}',
        }
    )
    assert record.plan == plan
    assert record.prepared.snapshot == {"WriteCapacityUnits": 5}
    assert record.answer == {"outcome": "verified"}
    assert record.refusal == {}


# --- the table ---


def test_item_is_read_back_as_written(run_table):
    run_table.put({"pk": "SWITCH", "automation": "off", "count": 3, "ready": True})
    assert run_table.get("SWITCH") == {
        "pk": "SWITCH",
        "automation": "off",
        "count": 3,
        "ready": True,
    }


def test_absent_item_is_empty(run_table):
    assert run_table.get("SWITCH") == {}


def test_single_reads_are_consistent(run_table, calls_of):
    read = calls_of("dynamodb", "GetItem")
    run_table.get("SWITCH")
    assert read.made[0]["ConsistentRead"] is True


def test_items_read_together_come_in_the_order_asked(run_table):
    run_table.put({"pk": "a", "n": 1})
    run_table.put({"pk": "c", "n": 3})
    assert run_table.get_together(["c", "b", "a"]) == [{"pk": "c", "n": 3}, {}, {"pk": "a", "n": 1}]


def test_absent_record_is_none(run_table):
    assert run_table.record("x:1") is None


def test_new_item_is_written_once(run_table):
    assert run_table.put_new({"pk": "a", "n": 1}) is True
    assert run_table.put_new({"pk": "a", "n": 2}) is False
    assert run_table.get("a") == {"pk": "a", "n": 1}


def test_deleting_what_is_absent_is_fine(run_table):
    run_table.put({"pk": "a"})
    run_table.delete("a")
    run_table.delete("a")
    assert run_table.get("a") == {}


def test_update_sets_and_removes(run_table):
    run_table.put({"pk": "a", "old": 1, "state": "open"})
    assert run_table.update("a", values={"state": "closed", "gone": None}, remove=["old"]) is True
    assert run_table.get("a") == {"pk": "a", "state": "closed"}


def test_update_makes_an_absent_item(run_table):
    run_table.update("a", values={"n": 1})
    assert run_table.get("a") == {"pk": "a", "n": 1}


def test_update_only_removes(run_table):
    run_table.put({"pk": "a", "old": 1})
    assert run_table.update("a", remove=["old"]) is True
    assert run_table.get("a") == {"pk": "a"}


def test_update_under_a_condition_that_does_not_hold_changes_nothing(run_table):
    run_table.put({"pk": "a", "state": "closed"})
    changed = run_table.update(
        "a", values={"n": 1}, condition="#state = :open", given={"open": "open"}
    )
    assert changed is False
    assert run_table.get("a") == {"pk": "a", "state": "closed"}


def test_update_passes_on_other_errors(run_table, calls_of):
    calls_of("dynamodb", "UpdateItem").will_fail("InternalServerError")
    with pytest.raises(run_table.client.exceptions.InternalServerError):
        run_table.update("a", values={"n": 1})


def test_failures_are_counted_up(run_table):
    assert [run_table.add_failure("x") for _ in range(3)] == [1, 2, 3]


def test_listing_has_its_kind_only_and_the_oldest_first(run_table):
    for name, kind, started in (
        ("b", "yes", "2026-03-02T12:11:00.000Z"),
        ("a", "yes", "2026-03-02T12:10:00.000Z"),
        ("c", "mitigated", "2026-03-02T12:09:00.000Z"),
        ("d", None, "2026-03-02T12:08:00.000Z"),
    ):
        run_table.put({"pk": f"RUN#{name}", "open": kind, "started_at": started})
    assert [item["pk"] for item in run_table.listed("yes")] == ["RUN#a", "RUN#b"]
    assert [item["pk"] for item in run_table.listed("mitigated")] == ["RUN#c"]


def test_listing_reads_every_page(run_table):
    for n in range(3):
        padding = "x" * 390_000  # DynamoDB answers with at most 1 MB
        run_table.put({"pk": f"RUN#{n}", "open": "yes", "started_at": f"{n}", "padding": padding})
    assert len(run_table.listed("yes")) == 3

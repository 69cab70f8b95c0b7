"""The one way in and out of JSON: strict, and every message names the path."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.remediation.contracts import (
    CallResult,
    Change,
    Check,
    Decision,
    Execution,
    Incident,
    Kind,
    Mode,
    OutcomeName,
    Plan,
    PlannedCall,
    Prepared,
    Run,
    RunbookRequest,
    Trigger,
    Verdict,
    Verification,
    canonical_json,
    decode,
    encode,
    iso,
    parse_time,
)
from lambdas.remediation.errors import InvalidRequestError

MOMENT = datetime(2026, 3, 2, 12, 9, 58, 414_000, tzinfo=UTC)
CALL = PlannedCall(
    api="dynamodb:UpdateTable",
    resource="arn:aws:dynamodb:us-east-1:123456789012:table/orders",
    arguments={"TableName": "orders"},
    before={"WriteCapacityUnits": 5},
    after={"WriteCapacityUnits": 10},
)
PLAN = Plan(decision=Decision.CHANGE, reason="busy", calls=[CALL], evidence={"peak": 1.5})
EXECUTION = Execution(
    arn="arn:aws:states:us-east-1:123456789012:execution:remediation-x:run-1",
    name="run-1",
    started_at=MOMENT,
)

moments = st.datetimes(
    min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)
).map(lambda m: m.replace(microsecond=m.microsecond // 1000 * 1000))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(st.text(max_size=5), json_values, max_size=3)
executions = st.builds(Execution, arn=st.text(), name=st.text(), started_at=moments)
incidents = st.builds(
    Incident, alarm_name=st.text(), alarm_arn=st.text(), changed_at=moments, reason=st.text()
)
names = st.dictionaries(st.text(), st.text(), max_size=2)
runs = st.builds(
    Run,
    id=st.text(),
    runbook=st.text(),
    kind=st.sampled_from(Kind),
    mode=st.sampled_from(Mode),
    trigger=st.sampled_from(Trigger),
    target=names,
    target_arn=st.text(),
    parameters=objects,
    reason=st.text(),
    requested_by=st.text(),
    execution=executions,
    lease_until=moments,
    limits=st.dictionaries(st.text(), st.integers(), max_size=2),
    options=st.dictionaries(st.text(), st.booleans(), max_size=2),
    undoes=st.none() | st.text(),
    event_id=st.none() | st.text(),
    incident=st.none() | incidents,
)
calls = st.builds(
    PlannedCall,
    api=st.text(),
    resource=st.text(),
    arguments=objects,
    before=objects,
    after=objects,
    reversible=st.booleans(),
)
plans = st.builds(
    Plan,
    decision=st.sampled_from(Decision),
    reason=st.text(),
    calls=st.lists(calls, max_size=2),
    evidence=objects,
    would_refuse=st.lists(st.text(), max_size=2),
)
results = st.builds(
    CallResult,
    api=st.text(),
    resource=st.text(),
    before=objects,
    after=objects,
    already_applied=st.booleans(),
)
checks = st.builds(
    Check,
    name=st.text(),
    observed=st.floats(allow_nan=False, allow_infinity=False),
    threshold=st.floats(allow_nan=False, allow_infinity=False),
    samples=st.integers(),
    passed=st.booleans(),
)
requests = st.builds(
    RunbookRequest,
    target=names,
    parameters=objects,
    mode=st.sampled_from(Mode),
    trigger=st.sampled_from(Trigger),
    requested_by=st.text(),
    undo=st.none() | st.text(),
    incident=st.none() | incidents,
)
contracts = st.one_of(
    runs,
    requests,
    st.builds(Prepared, snapshot=objects, plan=plans),
    st.builds(Change, calls=st.lists(results, max_size=2), applied_at=moments),
    st.builds(
        Verification,
        verdict=st.sampled_from(Verdict),
        reason=st.text(),
        checks=st.lists(checks, max_size=2),
    ),
)


@given(contracts)
def test_every_contract_survives_json(value):
    assert decode(type(value), json.loads(json.dumps(encode(value)))) == value


@dataclass(frozen=True, kw_only=True)
class Inner:
    count: int


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    ratio: float = 0.5
    ready: bool = False
    at: datetime | None = None
    mode: Mode = Mode.ACT
    inner: Inner | None = None
    inners: list[Inner] = field(default_factory=list)
    by_name: dict[str, Inner] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("text", "input: must be an object, got a string"),
        (None, "input: must be an object, got nothing"),
        ([], "input: must be an object, got a list"),
        ({}, "name: missing"),
        (
            {"name": "a", "colour": 1},
            "colour: unknown field; accepted are at, by_name, inner, inners, mode, name, ratio, "
            "ready",
        ),
        ({"name": 5}, "name: must be a string, got a number"),
        ({"name": None}, "name: must be a string, got nothing"),
        ({"name": "a", "ratio": "1"}, "ratio: must be a number, got a string"),
        ({"name": "a", "ratio": True}, "ratio: must be a number, got a boolean"),
        ({"name": "a", "ready": 1}, "ready: must be a boolean, got a number"),
        ({"name": "a", "at": "noon"}, "at: 'noon' is not an ISO 8601 time"),
        ({"name": "a", "at": 5}, "at: 5 is not an ISO 8601 time"),
        ({"name": "a", "mode": "force"}, "mode: 'force' is not one of observe, propose, act"),
        ({"name": "a", "mode": []}, "mode: [] is not one of observe, propose, act"),
        ({"name": "a", "inner": {}}, "inner.count: missing"),
        (
            {"name": "a", "inner": {"count": 1.5}},
            "inner.count: must be a whole number, got a number",
        ),
        (
            {"name": "a", "inner": {"count": True}},
            "inner.count: must be a whole number, got a boolean",
        ),
        ({"name": "a", "inners": {}}, "inners: must be a list, got an object"),
        ({"name": "a", "inners": [{"count": 1}, 2]}, "inners[1]: must be an object, got a number"),
        ({"name": "a", "by_name": []}, "by_name: must be an object, got a list"),
        (
            {"name": "a", "by_name": {"x": {"count": 1, "y": 2}}},
            "by_name.x.y: unknown field; accepted are count",
        ),
    ],
)
def test_wrong_input_is_refused_by_path(data, message):
    with pytest.raises(InvalidRequestError) as refusal:
        decode(Outer, data)
    assert str(refusal.value) == message


def test_path_of_the_caller_leads_the_message():
    with pytest.raises(InvalidRequestError) as refusal:
        decode(Inner, {"count": "3"}, "parameters")
    assert str(refusal.value) == "parameters.count: must be a whole number, got a string"


def test_whole_number_is_accepted_as_a_float():
    decoded = decode(Outer, {"name": "a", "ratio": 2}).ratio
    assert (decoded, type(decoded)) == (2.0, float)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02T12:09:58.414+0000",  # CloudWatch
        "2026-03-02T12:09:58.414Z",  # Step Functions
        "2026-03-02T13:09:58.414+01:00",
    ],
)
def test_times_of_every_service_are_read_as_utc(text):
    parsed = parse_time(text)
    assert parsed == MOMENT
    assert parsed.tzinfo is UTC


def test_times_are_written_in_utc_with_milliseconds():
    there = datetime(2026, 3, 2, 14, 9, 58, 414_999, tzinfo=timezone(timedelta(hours=2)))
    assert iso(there) == "2026-03-02T12:09:58.414Z"


def test_canonical_json_does_not_depend_on_order_or_spaces():
    assert canonical_json({"b": [1, 2], "a": {"d": None, "c": "x"}}) == (
        '{"a":{"c":"x","d":null},"b":[1,2]}'
    )


def test_plan_hash_is_the_same_in_every_release():
    # An approval given before a deployment must still fit after it.
    covered = (
        '{"calls":[{"api":"dynamodb:UpdateTable","arguments":{"TableName":"orders"},'
        '"before":{"WriteCapacityUnits":5},'
        '"resource":"arn:aws:dynamodb:us-east-1:123456789012:table/orders"}],'
        '"runbook":"dynamodb_throttling",'
        '"target":"arn:aws:dynamodb:us-east-1:123456789012:table/orders"}'
    )
    assert PLAN.hash("dynamodb_throttling", CALL.resource) == (
        hashlib.sha256(covered.encode()).hexdigest()
    )


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(CALL, api="dynamodb:DeleteTable"),
        dataclasses.replace(CALL, resource="arn:aws:dynamodb:us-east-1:123456789012:table/other"),
        dataclasses.replace(CALL, arguments={"TableName": "other"}),
        dataclasses.replace(CALL, before={"WriteCapacityUnits": 6}),
    ],
    ids=["api", "resource", "arguments", "before"],
)
def test_plan_hash_covers_each_call(other):
    changed = dataclasses.replace(PLAN, calls=[other])
    assert changed.hash("x", "arn") != PLAN.hash("x", "arn")


def test_plan_hash_covers_runbook_and_target():
    assert len({PLAN.hash("x", "arn"), PLAN.hash("y", "arn"), PLAN.hash("x", "other")}) == 3


def test_plan_hash_covers_the_order_of_calls():
    second = dataclasses.replace(CALL, api="dynamodb:Other")
    there = dataclasses.replace(PLAN, calls=[CALL, second])
    back = dataclasses.replace(PLAN, calls=[second, CALL])
    assert there.hash("x", "arn") != back.hash("x", "arn")


def test_plan_keeps_its_hash_while_measurements_move():
    later = dataclasses.replace(
        PLAN, reason="busier", evidence={"peak": 9.0}, would_refuse=["locked"]
    )
    assert later.hash("x", "arn") == PLAN.hash("x", "arn")


def test_inverse_of_a_call_swaps_before_and_after():
    inverse = CALL.inverse()
    assert (inverse.before, inverse.after, inverse.arguments) == (
        {"WriteCapacityUnits": 10},
        {"WriteCapacityUnits": 5},
        {},
    )


def test_modes_are_ordered_by_how_far_they_go():
    assert Mode.OBSERVE.rank < Mode.PROPOSE.rank < Mode.ACT.rank


def test_green_outcomes_are_those_that_need_nobody():
    assert {o.value for o in OutcomeName if o.green} == {
        "verified",
        "proposed",
        "refused",
        "duplicate",
    }


def test_contracts_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PLAN.reason = "other"

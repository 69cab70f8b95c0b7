"""A change is made once, taken back once, and never guessed at."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.remediation.changes import (
    Position,
    apply,
    decisive,
    differences,
    gone,
    position,
    resource_for,
    restore,
)
from lambdas.remediation.contracts import CallResult, Change, PlannedCall
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    ResourceBusyError,
    RollbackFailedError,
    ThrottledError,
)

NOW = datetime(2026, 3, 2, 12, 10, tzinfo=UTC)


class Shelf:
    """Keeps named values; may fail before or after a value is set."""

    service = "shelf"
    apis = ("shelf:Put",)

    def __init__(self, **values) -> None:
        self.values = values
        self.put: list[dict] = []
        self.fail_before: list[Exception] = []
        self.fail_after: list[Exception] = []
        self.fail_present: list[Exception] = []

    def present(self, call):
        if self.fail_present:
            raise self.fail_present.pop(0)
        return {name: self.values[name] for name in call.before}

    def apply(self, call):
        if self.fail_before:
            raise self.fail_before.pop(0)
        self.put.append(call.after)
        self.values.update(call.after)
        if self.fail_after:
            raise self.fail_after.pop(0)


class Other(Shelf):
    apis = ("other:Put",)


def planned(name: str, before: int = 1, after: int = 2, **fields) -> PlannedCall:
    return PlannedCall(
        api="shelf:Put",
        resource=f"arn:shelf/{name}",
        arguments={"Name": name},
        before={name: before},
        after={name: after},
        **fields,
    )


def clock() -> datetime:
    return NOW


def test_call_goes_to_the_resource_of_its_api():
    shelf = Shelf()
    assert resource_for(planned("a"), [Other(), shelf]) is shelf


@pytest.mark.parametrize(
    ("value", "expected"), [(1, Position.BEFORE), (2, Position.AFTER), (7, Position.ELSEWHERE)]
)
def test_position_is_read_from_the_resource(value, expected):
    assert position(planned("a"), [Shelf(a=value)]) is expected


def test_apply_makes_each_call_in_order():
    shelf = Shelf(a=1, b=1)
    change = apply([planned("a"), planned("b")], [shelf], clock)
    assert shelf.put == [{"a": 2}, {"b": 2}]
    assert change == Change(
        calls=[
            CallResult(api="shelf:Put", resource="arn:shelf/a", before={"a": 1}, after={"a": 2}),
            CallResult(api="shelf:Put", resource="arn:shelf/b", before={"b": 1}, after={"b": 2}),
        ],
        applied_at=NOW,
    )


def test_apply_leaves_out_a_call_that_was_made_before():
    shelf = Shelf(a=2, b=1)
    change = apply([planned("a"), planned("b")], [shelf], clock)
    assert shelf.put == [{"b": 2}]
    assert [c.already_applied for c in change.calls] == [True, False]


def test_apply_stops_where_somebody_else_changed_the_resource():
    shelf = Shelf(a=1, b=7)
    with pytest.raises(ConcurrentChangeError) as error:
        apply([planned("a"), planned("b")], [shelf], clock)
    assert str(error.value) == (
        "arn:shelf/b: someone else changed it before shelf:Put: b is 7, not 1; look before "
        "starting again"
    )
    assert shelf.put == [{"a": 2}]


def test_apply_passes_on_what_the_resource_raises():
    shelf = Shelf(a=1)
    shelf.fail_before = [ResourceBusyError("updating")]
    with pytest.raises(ResourceBusyError):
        apply([planned("a")], [shelf], clock)


def test_restore_takes_back_newest_first():
    shelf = Shelf(a=2, b=2)
    change = restore([planned("a"), planned("b")], [shelf], clock)
    assert shelf.put == [{"b": 1}, {"a": 1}]
    assert change == Change(
        calls=[
            CallResult(api="shelf:Put", resource="arn:shelf/b", before={"b": 2}, after={"b": 1}),
            CallResult(api="shelf:Put", resource="arn:shelf/a", before={"a": 2}, after={"a": 1}),
        ],
        applied_at=NOW,
    )


def test_restore_leaves_alone_what_was_never_made():
    shelf = Shelf(a=2, b=1)
    change = restore([planned("a"), planned("b")], [shelf], clock)
    assert shelf.put == [{"a": 1}]
    assert [c.resource for c in change.calls] == ["arn:shelf/a"]


def test_restore_refuses_what_is_neither_as_before_nor_as_after():
    shelf = Shelf(a=2, b=7)
    with pytest.raises(RollbackFailedError) as error:
        restore([planned("a"), planned("b")], [shelf], clock)
    assert str(error.value) == (
        "arn:shelf/b: cannot take shelf:Put back, it is neither as this run left it nor as it was "
        "before: b is 7, not 2"
    )
    assert shelf.put == []


def test_restore_refuses_what_cannot_be_reversed():
    with pytest.raises(RollbackFailedError) as error:
        restore([planned("a", reversible=False)], [Shelf(a=2)], clock)
    assert str(error.value) == "arn:shelf/a: shelf:Put has no way back"


@pytest.mark.parametrize(
    ("wanted", "now", "told"),
    [
        ({"a": 2, "b": 1}, {"a": 2, "b": 7}, "b is 7, not 1"),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 3, "y": 4}}, "a.x is 3, not 1, a.y is 4, not 2"),
        ({"a": None}, {"a": 7}, "a is 7, not none"),
        ({"a": 1}, {"a": None}, "a is gone"),
        ({"a": {"x": 1}}, {"a": None}, "a.x is gone"),
        ({"a": 1}, {"a": "v" * 101}, f"a is {'v' * 97}..., not 1"),
    ],
)
def test_what_is_otherwise_is_told_in_words(wanted, now, told):
    assert differences(wanted, now) == told


@pytest.mark.parametrize(
    ("now", "expected"),
    [({"a": None, "b": 1}, True), ({"a": None, "b": 7}, False), ({"a": 7, "b": 1}, False)],
)
def test_what_should_be_is_gone_where_nothing_else_took_its_place(now, expected):
    assert gone({"a": 2, "b": 1}, now) is expected


@pytest.mark.parametrize("error", [ThrottledError, ResourceBusyError])
def test_restore_lets_the_machine_retry_what_is_retryable(error):
    shelf = Shelf(a=2)
    shelf.fail_before = [error("later")]
    with pytest.raises(error):
        restore([planned("a")], [shelf], clock)


def test_restore_that_failed_after_all_succeeded_is_a_success():
    shelf = Shelf(a=2)
    shelf.fail_after = [ChangeFailedError("timed out")]
    assert restore([planned("a")], [shelf], clock).calls == [
        CallResult(api="shelf:Put", resource="arn:shelf/a", before={"a": 2}, after={"a": 1})
    ]


def test_restore_that_failed_names_the_call_and_the_error():
    shelf = Shelf(a=2)
    shelf.fail_before = [ChangeFailedError("limit exceeded")]
    with pytest.raises(RollbackFailedError) as error:
        restore([planned("a")], [shelf], clock)
    assert str(error.value) == "arn:shelf/a: shelf:Put failed: limit exceeded"


class Unreadable(Shelf):
    """Can be read once, not again."""

    def apply(self, call):
        self.fail_present = [OSError("no answer")]
        super().apply(call)


def test_restore_reports_the_first_error_when_the_read_back_fails_too():
    shelf = Unreadable(a=2)
    shelf.fail_before = [ChangeFailedError("limit exceeded")]
    with pytest.raises(RollbackFailedError) as error:
        restore([planned("a")], [shelf], clock)
    assert str(error.value) == "arn:shelf/a: shelf:Put failed: limit exceeded"


values = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 3), min_size=1)


@given(before=values, data=st.data())
def test_restoring_an_applied_plan_gives_the_state_before(before, data):
    shelf = Shelf(**before)
    calls = [
        planned(name, before=value, after=data.draw(st.integers(4, 9)))
        for name, value in before.items()
    ]
    apply(calls, [shelf], clock)
    restore(calls, [shelf], clock)
    assert shelf.values == before


@given(before=values, made=st.integers(0, 5))
def test_restoring_a_half_applied_plan_gives_the_state_before(before, made):
    shelf = Shelf(**before)
    calls = [planned(name, before=value, after=value + 5) for name, value in before.items()]
    apply(calls[:made], [shelf], clock)
    restore(calls, [shelf], clock)
    assert shelf.values == before


@given(before=values)
def test_applying_twice_changes_nothing_more(before):
    shelf = Shelf(**before)
    calls = [planned(name, before=value, after=value + 5) for name, value in before.items()]
    apply(calls, [shelf], clock)
    again = apply(calls, [shelf], clock)
    assert all(c.already_applied for c in again.calls)
    assert len(shelf.put) == len(calls)


# --- what tells where an interrupted run stands ---


class Silent(Shelf):
    """Makes calls that leave no trace."""

    apis = ("silent:Tell",)
    unreadable = ("silent:Tell",)


def test_calls_without_a_trace_do_not_tell_where_a_run_stands():
    told = PlannedCall(
        api="silent:Tell",
        resource="arn:silent/a",
        arguments={},
        before={"told": False},
        after={"told": True},
        reversible=False,
    )
    put = planned("a", reversible=False)
    assert decisive([put, told], [Shelf(), Silent()]) == [put]


def test_calls_that_cannot_be_taken_back_do_not_tell_beside_those_that_can():
    kept, lost = planned("a"), planned("b", reversible=False)
    assert decisive([kept, lost], [Shelf()]) == [kept]

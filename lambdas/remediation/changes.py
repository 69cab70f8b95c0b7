"""Making a plan's calls, taking them back, and telling which of the two has happened.

Every resource module answers one question (`present`) and does one thing (`apply`). Whether a call
was made is never remembered, always read: that makes a change idempotent under retries, lets a run
that lost its function be closed, and lets undo refuse when the world has moved on.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from lambdas.remediation.contracts import CallResult, Change, PlannedCall
from lambdas.remediation.errors import (
    ConcurrentChangeError,
    ResourceBusyError,
    RollbackFailedError,
    ThrottledError,
)

MAX_SHOWN = 100


def shown(value: Any) -> Any:
    """A value, or each value of a map, as a message has room for it; the record has the whole."""
    if isinstance(value, dict):
        return {key: shown(one) for key, one in value.items()}
    text = str(value)
    return value if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def leaves(before: Any, after: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Path, old and new value of each leaf that differs."""
    if before == after:
        return
    if not isinstance(before, dict) and not isinstance(after, dict):
        yield name, before, after
        return
    old = before if isinstance(before, dict) else {}
    new = after if isinstance(after, dict) else {}
    for key in sorted({*old, *new}):
        yield from leaves(old.get(key), new.get(key), f"{name}.{key}" if name else key)


def differences(wanted: dict[str, Any], now: dict[str, Any]) -> str:
    """What is otherwise than wanted, in words."""
    return ", ".join(
        f"{name} is gone" if new is None else f"{name} is {shown(new)}, not {or_none(old)}"
        for name, old, new in leaves(wanted, now)
    )


def or_none(value: Any) -> Any:
    """A value as a message has room for it; `none` for an absent one."""
    return "none" if value is None else shown(value)


def gone(wanted: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether nothing is there any more of what should be."""
    return all(new is None for _, _, new in leaves(wanted, now))


class Resource(Protocol):
    """A resource module: the only caller of boto3 for its APIs."""

    service: ClassVar[str]
    apis: ClassVar[tuple[str, ...]]

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """Present values of exactly the keys in `call.before` and `call.after`."""
        ...

    def apply(self, call: PlannedCall) -> None:
        """Make the call, so that the present value becomes `call.after`."""
        ...


class Position(StrEnum):
    """Where the world stands relative to a call."""

    BEFORE = "before"
    AFTER = "after"
    ELSEWHERE = "elsewhere"


def resource_for(call: PlannedCall, resources: Sequence[Resource]) -> Resource:
    """The resource module that makes this call."""
    return next(r for r in resources if call.api in r.apis)


def position(call: PlannedCall, resources: Sequence[Resource]) -> Position:
    """Read whether the call was made."""
    now = resource_for(call, resources).present(call)
    if now == call.after:
        return Position.AFTER
    return Position.BEFORE if now == call.before else Position.ELSEWHERE


def apply(
    calls: Sequence[PlannedCall], resources: Sequence[Resource], clock: Callable[[], datetime]
) -> Change:
    """Make each call once, in order.

    Raises
    ------
    ConcurrentChangeError
        A resource is neither as planned nor as wanted: someone else changed it.
    """
    results: list[CallResult] = []
    for call in calls:
        where = position(call, resources)
        if where is Position.ELSEWHERE:
            now = resource_for(call, resources).present(call)
            moved = ConcurrentChangeError(
                f"{call.resource}: someone else changed it before {call.api}: "
                f"{differences(call.before, now)}; look before starting again"
            )
            moved.untouched = not results
            raise moved
        if where is Position.BEFORE:
            try:
                resource_for(call, resources).apply(call)
            except ConcurrentChangeError as error:
                error.untouched = not results
                raise
        results.append(
            CallResult(
                api=call.api,
                resource=call.resource,
                before=call.before,
                after=call.after,
                already_applied=where is Position.AFTER,
            )
        )
    return Change(calls=results, applied_at=clock())


def undoable(calls: Sequence[PlannedCall]) -> list[PlannedCall]:
    """The calls that an undo is about: those that can be taken back, where there are any.

    What cannot be taken back beside them follows from them (old backups, pruned once the new one
    is proven), and must not keep a person from taking back the rest.
    """
    return [c for c in calls if c.reversible] or list(calls)


def decisive(calls: Sequence[PlannedCall], resources: Sequence[Resource]) -> list[PlannedCall]:
    """The calls that tell where an interrupted run stands: those of an undo that can be read.

    A resource names in `unreadable` the APIs that leave no trace to read (signing a user out). They
    count as not made, so they are made again when a step is repeated.
    """
    return [
        call
        for call in undoable(calls)
        if call.api not in getattr(resource_for(call, resources), "unreadable", ())
    ]


def restore(
    calls: Sequence[PlannedCall], resources: Sequence[Resource], clock: Callable[[], datetime]
) -> Change:
    """Take back, newest first, those calls that were made; leave the others alone.

    Raises
    ------
    RollbackFailedError
        A resource is neither as the run left it nor as it was, or AWS refuses the way back.
    """
    results = []
    for call in reversed(undoable(calls)):
        inverse = call.inverse()
        where = position(inverse, resources)
        if where is Position.AFTER:
            continue
        if not call.reversible:
            raise RollbackFailedError(f"{call.resource}: {call.api} has no way back")
        if where is Position.ELSEWHERE:
            now = resource_for(inverse, resources).present(inverse)
            raise RollbackFailedError(
                f"{call.resource}: cannot take {call.api} back, it is neither as this run left it "
                f"nor as it was before: {differences(call.after, now)}"
            )
        _take_back(inverse, resources)
        results.append(
            CallResult(
                api=call.api, resource=call.resource, before=inverse.before, after=inverse.after
            )
        )
    return Change(calls=results, applied_at=clock())


def _take_back(inverse: PlannedCall, resources: Sequence[Resource]) -> None:
    resource = resource_for(inverse, resources)
    try:
        resource.apply(inverse)
    except (ThrottledError, ResourceBusyError):
        raise  # the state machine retries these
    except Exception as error:
        # A call that timed out has an unknown result: what is there now decides.
        with contextlib.suppress(Exception):
            if resource.present(inverse) == inverse.after:
                return
        raise RollbackFailedError(f"{inverse.resource}: {inverse.api} failed: {error}") from error

"""What happened, as a picture: the moments of an incident's runs on one line of time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from local.toolkit.follow import FollowedExecution
from local.toolkit.history import call_text
from local.toolkit.milestones import milestones

_GAP_SECONDS = 5.0  # a stretch of time as long as this gets a line of its own


@dataclass(frozen=True, kw_only=True)
class Event:
    """One moment.

    Attributes
    ----------
    lane
        The execution it happened in; empty for what happened to the platform.
    """

    at: datetime
    what: str
    lane: str = ""
    detail: str = ""


def events(
    executions: Sequence[FollowedExecution], own_states: Mapping[str, Collection[str]]
) -> list[Event]:
    """Return the moments of the executions, oldest first.

    Parameters
    ----------
    executions
        Closed executions.
    own_states
        By machine, the names of its runbook's own states.
    """
    found = [
        event
        for execution in executions
        for event in _of_execution(execution, own_states.get(execution.machine, ()))
    ]
    return sorted(found, key=attrgetter("at"))


def _of_execution(execution: FollowedExecution, own_states: Collection[str]) -> Iterator[Event]:
    times = milestones(execution.visits, own_states)
    lane = f"{execution.number}: {execution.machine}"
    answer = execution.answer
    if execution.alarm_at is not None:
        yield Event(
            at=execution.alarm_at,
            what="alarm",
            lane=lane,
            detail=execution.alarm or "",
        )
    reached = (
        ("guard", times.guarded, ""),
        ("snapshot", times.prepared, ""),
        ("change", times.changed if execution.changed else None, _changes(answer)),
        ("verified", times.verified, _verdict(answer)),
        ("held", times.held, "yes" if answer.get("held") else "NO"),
        ("ended", execution.ended, _ending(execution)),
    )
    for what, moment, detail in reached:
        if moment is not None:
            yield Event(at=moment, what=what, lane=lane, detail=detail)


def _changes(answer: Mapping[str, Any]) -> str:
    return "; ".join(call_text(call) for call in answer.get("changes") or [])


def _verdict(answer: Mapping[str, Any]) -> str:
    return str((answer.get("verification") or {}).get("verdict") or "")


def _ending(execution: FollowedExecution) -> str:
    joined = execution.relies_on
    return f"{execution.outcome}, joined {joined}" if joined else execution.outcome


def drawn(found: Sequence[Event], *, since: datetime, width: int) -> list[str]:
    """Draw events under each other, a lane for each execution, and mark long stretches.

    Parameters
    ----------
    found
        Oldest first.
    since
        Zero of the seconds.
    width
        Characters of the longest line; what is longer is cut.
    """
    lanes = sorted({e.lane for e in found if e.lane})
    lines = [f"{'':12}{', '.join(lanes)}"] if len(lanes) > 1 else []
    alive: set[str] = set()
    previous: datetime | None = None
    for event in found:
        if previous is not None and (event.at - previous).total_seconds() >= _GAP_SECONDS:
            lines.append(f"{'':8}    {_rails(lanes, alive, mark=None)}".rstrip())
        alive.add(event.lane)
        rails = _rails(lanes, alive, mark=event.lane)
        seconds = (event.at - since).total_seconds()
        line = f"{seconds:8.1f} s  {rails}  {event.what:<9} {event.detail}".rstrip()
        lines.append(line if len(line) <= width else f"{line[: width - 3]}...")
        if event.what == "ended":
            alive.discard(event.lane)
        previous = event.at
    return lines


def _rails(lanes: Sequence[str], alive: Collection[str], *, mark: str | None) -> str:
    """Draw one column for each lane: a mark where it happened, a rail where something runs."""
    return " ".join(
        "o" if lane == mark else "|" if lane in alive else " " for lane in lanes or [""]
    )

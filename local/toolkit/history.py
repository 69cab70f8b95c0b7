"""An execution's history as a list of state visits, each with what it decided."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

_ENTERED = "StateEntered"
_EXITED = "StateExited"
#: Fields of a step's answer that say what it decided, in the order they are shown.
_TELLING = ("outcome", "decision", "verdict", "held", "mode")
_FAILURES = ("taskFailed", "taskTimedOut", "lambdaFunctionFailed", "executionFailed")
LONGEST = 240


@dataclass(kw_only=True)
class Visit:
    """One pass through one state.

    Attributes
    ----------
    kind
        The state's type (``Task``, ``Choice``, ``Wait`` ...).
    result
        What its task answered, if it is a task that succeeded.
    failure
        Error name and cause, if its task failed, even when the machine caught it.
    following
        The state entered next.
    """

    name: str
    kind: str
    entered: datetime
    exited: datetime | None = None
    result: Any = None
    failure: str | None = None
    following: str | None = None

    @property
    def branch(self) -> str:
        """Where a Choice went, once that is known; empty for every other state."""
        return f"-> {self.following}" if self.kind == "Choice" and self.following else ""


@dataclass
class _Reading:
    visits: list[Visit] = field(default_factory=list)

    def open_visit(self, name: str) -> Visit | None:
        still_open = (v for v in reversed(self.visits) if v.exited is None and v.name == name)
        return next(still_open, None)


def visits(events: Iterable[Mapping[str, Any]]) -> list[Visit]:
    """Return the state visits of a history, oldest first, states of branches among them.

    Parameters
    ----------
    events
        Events of ``GetExecutionHistory``, oldest first.
    """
    reading = _Reading()
    for event in events:
        kind = str(event["type"])
        if kind.endswith(_ENTERED):
            _enter(reading, kind.removesuffix(_ENTERED), event)
        elif kind.endswith(_EXITED):
            _exit(reading, event)
        else:
            _note(reading, event)
    return reading.visits


def _enter(reading: _Reading, kind: str, event: Mapping[str, Any]) -> None:
    name = event["stateEnteredEventDetails"]["name"]
    if reading.visits and reading.visits[-1].following is None:
        reading.visits[-1].following = name
    reading.visits.append(Visit(name=name, kind=kind, entered=event["timestamp"]))


def _exit(reading: _Reading, event: Mapping[str, Any]) -> None:
    visit = reading.open_visit(event["stateExitedEventDetails"]["name"])
    if visit is not None:
        visit.exited = event["timestamp"]


def _note(reading: _Reading, event: Mapping[str, Any]) -> None:
    """Keep a task's answer or failure with the visit that is open when it arrives."""
    visit = next((v for v in reversed(reading.visits) if v.exited is None), None)
    if visit is None:
        return
    if "taskSucceededEventDetails" in event:
        visit.result = _payload(event["taskSucceededEventDetails"].get("output"))
    for key in _FAILURES:
        details = event.get(f"{key}EventDetails")
        if details is not None:
            visit.failure = ": ".join(str(details[k]) for k in ("error", "cause") if details.get(k))
            if event["type"].startswith("Execution"):
                visit.exited = event["timestamp"]


def _payload(output: str | None) -> Any:
    """Return a task's answer; of a Lambda invocation, the function's own answer."""
    try:
        answer = json.loads(output or "null")
    except ValueError:
        return output
    if isinstance(answer, dict) and "Payload" in answer:
        return answer["Payload"]
    return answer


def decision(visit: Visit) -> str:
    """Return one line: what the state decided or did, or how it failed; else nothing."""
    if visit.failure is not None:
        return _short(_cause(visit.failure))
    return visit.branch or _short(_told(visit.result))


def _told(value: Any) -> str:
    """Read the telling fields of an answer, or of the first object in it that has some."""
    if not isinstance(value, dict):
        return ""
    told = ", ".join(
        f"{key} {_plain(value[key])}"
        for key in _TELLING
        if isinstance(value.get(key), str | bool) and value[key] != ""
    )
    text = ": ".join(part for part in (told, value.get("reason") or "") if part)
    if text:
        return text
    if isinstance(value.get("calls"), list):
        return "; ".join(call_text(call) for call in value["calls"])
    return next((text for text in map(_told, value.values()) if text), "")


def call_text(call: Mapping[str, Any]) -> str:
    """Return one changing call as text, with each value before and after."""
    before, after = call.get("before") or {}, call.get("after") or {}
    values = ", ".join(
        f"{key} {before.get(key)} -> {after[key]}" for key in after if before.get(key) != after[key]
    )
    done = " (was so already)" if call.get("already_applied") else ""
    return f"{call.get('api')}: {values}{done}"


def _plain(value: str | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else value


def _cause(failure: str) -> str:
    """Shorten the JSON a failed function leaves as its cause to the message in it."""
    error, _, cause = failure.partition(": ")
    try:
        message = json.loads(cause).get("errorMessage", cause)
    except (ValueError, AttributeError):
        message = cause
    return f"{error}: {message}" if message else error


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST else flat[: LONGEST - 3] + "..."

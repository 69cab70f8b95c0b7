"""Follow the executions of a state machine live, state by state."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local.toolkit.console import Console
from local.toolkit.history import Visit, decision, visits

_POLL_SECONDS = 0.25
_FIRST_SECONDS = 60.0
_SETTLE_SECONDS = 3.0  # a second alarm of the same cause starts its execution this much later
_INDENT = " " * 13


class FollowError(RuntimeError):
    """No execution came, or one did not end in time."""


@dataclass(kw_only=True)
class FollowedExecution:
    """One execution, how far it has been shown, and its answer once it is closed."""

    arn: str
    number: int
    started: datetime
    cause: str
    status: str = "RUNNING"
    visits: list[Visit] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=dict)
    entered_shown: int = 0
    exited_shown: set[int] = field(default_factory=set)

    @property
    def outcome(self) -> str:
        """Outcome in the answer, or the status if there is none."""
        return str(self.answer.get("outcome") or self.status)


class Follower:
    """Shows every execution of one machine that starts after ``since``.

    Parameters
    ----------
    console
        Where the states are shown.
    stepfunctions
        boto3 client.
    machine_arn
        The machine.
    since
        Moment the incident began; all times are shown relative to it.
    """

    def __init__(
        self, console: Console, stepfunctions: Any, *, machine_arn: str, since: datetime
    ) -> None:
        self._console = console
        self._stepfunctions = stepfunctions
        self._machine_arn = machine_arn
        self._since = since
        self._executions: dict[str, FollowedExecution] = {}
        self._on_screen: tuple[int, int] | None = None

    def follow(self, *, within_seconds: float) -> list[FollowedExecution]:
        """Show states until every execution is closed; return them, oldest first.

        Raises
        ------
        FollowError
            If none starts within a minute, or one is still running when the time is over.
        """
        started = time.monotonic()
        settled_since: float | None = None
        self._discover()
        if not self._executions:
            self._console.begin("waiting for an execution")
        with self._console.alive():
            while True:
                self._discover()
                for execution in self._executions.values():
                    self._advance(execution)
                now = time.monotonic()
                if self._all_closed():
                    settled_since = settled_since or now
                    if now - settled_since >= _SETTLE_SECONDS:
                        return list(self._executions.values())
                else:
                    settled_since = None
                if now - started > (within_seconds if self._executions else _FIRST_SECONDS):
                    raise FollowError(self._overdue(now - started))
                time.sleep(_POLL_SECONDS)

    def _all_closed(self) -> bool:
        return bool(self._executions) and all(
            e.status != "RUNNING" for e in self._executions.values()
        )

    def _overdue(self, seconds: float) -> str:
        running = [e.arn for e in self._executions.values() if e.status == "RUNNING"]
        what = f"still running: {', '.join(running)}" if running else "no execution started"
        return f"{what} {seconds:.0f} s after the alarm"

    def _discover(self) -> None:
        listed = self._stepfunctions.list_executions(stateMachineArn=self._machine_arn)
        for found in sorted(listed["executions"], key=lambda e: e["startDate"]):
            arn = found["executionArn"]
            if arn in self._executions or found["startDate"] < self._since:
                continue
            described = self._stepfunctions.describe_execution(executionArn=arn)
            execution = FollowedExecution(
                arn=arn,
                number=len(self._executions) + 1,
                started=found["startDate"],
                cause=_cause(described.get("input")),
            )
            self._executions[arn] = execution
            at, name = self._at(execution.started), arn.rsplit(":", 1)[-1]
            self._console.line(f"  {at}  execution {execution.number} {name}")
            self._console.line(f"{_INDENT}{execution.cause}", style="dim")
            self._on_screen = None

    def _advance(self, execution: FollowedExecution) -> None:
        if execution.status != "RUNNING":
            return
        # Read first, so the history that is read after it cannot miss the last states.
        described = self._stepfunctions.describe_execution(executionArn=execution.arn)
        pages = self._stepfunctions.get_paginator("get_execution_history").paginate(
            executionArn=execution.arn, PaginationConfig={"PageSize": 1000}
        )
        execution.visits = visits(event for page in pages for event in page["events"])
        self._show(execution)
        if described["status"] != "RUNNING":
            execution.status = described["status"]
            execution.answer = answer(described)
            self._console.line(
                f"  {self._at(described['stopDate'])}  execution {execution.number} ended "
                f"{execution.status}: {execution.outcome}",
                style="green" if execution.status == "SUCCEEDED" else "red",
            )
            self._on_screen = None

    def _show(self, execution: FollowedExecution) -> None:
        for position, visit in enumerate(execution.visits):
            if position >= execution.entered_shown:
                self._begin(execution, position, visit)
                execution.entered_shown = position + 1
            if visit.exited is not None and position not in execution.exited_shown:
                self._end(execution, position, visit)
                execution.exited_shown.add(position)

    def _begin(self, execution: FollowedExecution, position: int, visit: Visit) -> None:
        self._console.begin(f"{self._at(visit.entered)}  {self._label(execution, visit)}")
        self._on_screen = (execution.number, position)

    def _end(self, execution: FollowedExecution, position: int, visit: Visit) -> None:
        exited = visit.exited or visit.entered
        if self._on_screen != (execution.number, position):
            self._console.begin(f"{self._at(exited)}  {self._label(execution, visit)}, left")
        self._console.end(
            f"{(exited - visit.entered).total_seconds():6.1f} s",
            style="yellow" if visit.failure is not None else None,
        )
        if not visit.branch:
            self._console.paragraph(decision(visit), indent=_INDENT, style="dim")
        self._on_screen = None

    def _label(self, execution: FollowedExecution, visit: Visit) -> str:
        number = f"{execution.number} " if len(self._executions) > 1 else ""
        return f"{number}{visit.name} {visit.branch}".rstrip()

    def _at(self, moment: datetime) -> str:
        return f"{(moment - self._since).total_seconds():+7.1f} s"


def answer(described: dict[str, Any]) -> dict[str, Any]:
    """Return the run's answer from ``DescribeExecution``: output when green, cause when red."""
    text = described.get("output") or described.get("cause") or "{}"
    try:
        value = json.loads(text)
    except ValueError:
        value = {"reason": text}
    if not isinstance(value, dict):
        return {"reason": str(value)}
    if described["status"] != "SUCCEEDED":
        return {"outcome": described.get("error"), **value}
    return value


def _cause(text: str | None) -> str:
    """Say what started an execution: the alarm of the event, or a person's input."""
    try:
        alarm = json.loads(text or "{}")["detail"]["alarmName"]
    except (ValueError, KeyError, TypeError):
        return "by a person"
    return f"by alarm {alarm}"

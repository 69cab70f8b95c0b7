"""Break the sample platform and watch the product heal it: ``python -m local.demo``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from local.incidents.catalog import INCIDENTS
from local.incidents.incident import Incident, IncidentError
from local.toolkit.console import WIDTH, Console
from local.toolkit.deployment import SETUP_ERRORS, LocalStack, local_stack
from local.toolkit.follow import FollowedExecution, Follower, FollowError, acted, short_name
from local.toolkit.inbox import Notification, OperatorInbox
from local.toolkit.interrupts import interrupt_on_signals
from local.toolkit.milestones import NOT_REACHED, Milestones, milestones
from local.toolkit.timeline import Event, drawn, events
from local.toolkit.workspace import REPOSITORY

_ALARM_SECONDS = 120.0
_RUN_SECONDS = 600.0
_GREEN_SECONDS = 30.0
_NOTIFICATION_SECONDS = 20.0
_POLL_SECONDS = 0.25


class NoAlarmError(RuntimeError):
    """The symptom was there and no alarm went red."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the summary says of one incident."""

    incident: str
    since: datetime
    alarm: datetime | None = None
    times: Milestones | None = None
    outcome: str
    healed: bool


def main() -> int:
    """Run every incident; return the exit code: 0 only if each one healed."""
    interrupt_on_signals()
    console = Console()
    rows: list[Row] = []
    try:
        with local_stack(console) as stack:
            inbox = OperatorInbox(
                stack.client("sns"),
                stack.client("sqs"),
                topic_arn=stack.outputs["OperatorTopicArn"],
                name="demo-operator-inbox",
            )
            for number, kind in enumerate(INCIDENTS, start=1):
                console.heading(f"Incident {number} of {len(INCIDENTS)}: {kind.name}")
                rows.append(_heal(console, stack, inbox, kind(stack.client)))
    except SETUP_ERRORS as error:
        console.line()
        console.line(f"Stopped: {error}", style="red")
        return 1
    except KeyboardInterrupt:
        console.line("Interrupted.", style="red")
        return 130
    _summary(console, rows)
    return 0 if len(rows) == len(INCIDENTS) and all(r.healed for r in rows) else 1


def _heal(console: Console, stack: LocalStack, inbox: OperatorInbox, incident: Incident) -> Row:
    console.paragraph(incident.story)
    alarm: datetime | None = None
    since = datetime.now(UTC)
    try:
        with incident:
            console.line()
            incident.prepare(console.step)
            before = incident.values()
            _values(console, "Before", before)
            since = datetime.now(UTC)
            incident.start()
            alarm = _await_alarm(console, stack, incident)
            console.line()
            console.line("  What the state machines do (seconds since the incident began)")
            follower = Follower(
                console,
                stack.client("stepfunctions"),
                machines=_machines(stack, incident),
                since=since,
            )
            executions = follower.follow(within_seconds=_RUN_SECONDS)
            healed = _report(console, incident, executions, before) and _await_green(
                console, stack, incident
            )
    except (NoAlarmError, FollowError, IncidentError) as error:
        console.paragraph(f"Not healed: {error}", style="red")
        return Row(
            incident=incident.name, since=since, alarm=alarm, outcome=str(error), healed=False
        )
    told = _notification(console, inbox, executions)
    _picture(console, incident, executions, since)
    run = acted(executions)
    return Row(
        incident=incident.name,
        since=since,
        alarm=run.alarm_at or alarm,
        times=milestones(run.visits, _own_states(run.machine)),
        outcome=_outcomes(executions),
        healed=healed and told is not None,
    )


def _machines(stack: LocalStack, incident: Incident) -> dict[str, str]:
    missing = [name for name in incident.machine_names() if name not in stack.machines]
    if missing:
        raise IncidentError(f"there is no state machine {', '.join(missing)}")
    return {name: stack.machines[name] for name in incident.machine_names()}


def _await_alarm(console: Console, stack: LocalStack, incident: Incident) -> datetime:
    """Wait until the metrics, and nothing else, turn the incident's first alarm red."""
    cloudwatch = stack.client("cloudwatch")
    name = incident.alarm_names[0]
    deadline = time.monotonic() + _ALARM_SECONDS
    console.line()
    with console.step(f"waiting for alarm {name}"):
        while True:
            alarms = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
            if alarms and alarms[0]["StateValue"] == "ALARM":
                break
            if not alarms:
                raise NoAlarmError(f"there is no alarm {name}")
            if time.monotonic() > deadline:
                raise NoAlarmError(
                    f"{name} is {alarms[0]['StateValue']} after "
                    f"{_ALARM_SECONDS:.0f} s of its symptom"
                )
            time.sleep(_POLL_SECONDS)
    console.paragraph(alarms[0].get("StateReason", ""), indent="    ", style="dim")
    return datetime.now(UTC)


def _await_green(console: Console, stack: LocalStack, incident: Incident) -> bool:
    """Wait until the incident's alarms are green again, with the load still on."""
    cloudwatch = stack.client("cloudwatch")
    deadline = time.monotonic() + _GREEN_SECONDS
    console.line()
    with console.step("waiting for its alarms to be green"):
        while True:
            alarms = cloudwatch.describe_alarms(AlarmNames=list(incident.alarm_names))
            states = {a["AlarmName"]: a["StateValue"] for a in alarms["MetricAlarms"]}
            green = set(states.values()) == {"OK"}
            if green or time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
    for name, state in states.items():
        _check(console, f"{name} is {state}", true=state == "OK")
    return green


def _own_states(machine: str) -> set[str]:
    path = REPOSITORY / "statemachines" / f"{machine.replace('-', '_')}.asl.json"
    return set(json.loads(path.read_text())["States"])


def _outcomes(executions: Sequence[FollowedExecution]) -> str:
    """Say how the run that acted ended, and how many relied on it."""
    run = acted(executions)
    joined = sum(e.relies_on == run.run_id for e in executions)
    return f"{run.outcome} (+{joined})" if joined else run.outcome


def _report(
    console: Console,
    incident: Incident,
    executions: Sequence[FollowedExecution],
    before: dict[str, str],
) -> bool:
    """Show what the runs answered and what the platform says; return whether it is healed."""
    run = acted(executions)
    for execution in executions:
        _answer(console, execution, named=len(executions) > 1)
    _values(console, "After", incident.values(), changed_from=before)
    checks = {
        "the run's verification passed": _verdict(run) == "passed",
        "the run saw it hold": run.answer.get("held") is True,
        **_joined(incident, executions),
        **{f.statement: f.true for f in incident.findings()},
        "no execution ended red": all(e.status == "SUCCEEDED" for e in executions),
    }
    console.line("  Healed?")
    for statement, true in checks.items():
        _check(console, statement, true=true)
    undo = (run.answer.get("undo") or {}).get("command")
    if undo:
        console.line("  To undo it:")
        console.command(undo, style="dim")
    return all(checks.values())


def _joined(incident: Incident, executions: Sequence[FollowedExecution]) -> dict[str, bool]:
    """Say whether a run of every other machine that had to start joined the one that acted."""
    run = acted(executions)
    others = [m for m in map(short_name, incident.machine_names()) if m != run.machine]
    return {
        f"a run of {machine} joined it": any(
            e.machine == machine and e.relies_on == run.run_id for e in executions
        )
        for machine in others
    }


def _answer(console: Console, execution: FollowedExecution, *, named: bool) -> None:
    """Show one run's answer and what it checked."""
    answer = execution.answer
    console.line()
    if named:
        joined = f", joined {execution.relies_on}" if execution.relies_on else ""
        console.line(f"  Answer of {execution.run_id}: {execution.outcome}{joined}")
    console.paragraph(str(answer.get("reason") or "no reason given"))
    for check in (answer.get("verification") or {}).get("checks", []):
        _check(
            console,
            f"{check['name']}: {check['observed']:g}, limit {check['threshold']:g}, "
            f"{check['samples']} samples",
            true=check["passed"],
        )


def _verdict(run: FollowedExecution) -> str | None:
    return (run.answer.get("verification") or {}).get("verdict")


def _picture(
    console: Console, incident: Incident, executions: Sequence[FollowedExecution], since: datetime
) -> None:
    """Draw what happened."""
    own_states = {e.machine: _own_states(e.machine) for e in executions}
    broken = Event(at=since, what="broken", detail=incident.name)
    console.line()
    console.line("  What happened (seconds since the incident began)")
    for line in drawn([broken, *events(executions, own_states)], since=since, width=WIDTH):
        console.line(line)


def _check(console: Console, statement: str, *, true: bool) -> None:
    mark = console.styled("yes" if true else "NO ", "green" if true else "red")
    console.line(f"    {mark} {statement}")


def _values(
    console: Console,
    title: str,
    values: dict[str, str],
    *,
    changed_from: dict[str, str] | None = None,
) -> None:
    console.line()
    console.line(f"  {title}")
    for label, value in values.items():
        changed = changed_from is not None and changed_from.get(label) != value
        console.line(f"    {label:<28} {value}", style="green" if changed else None)


def _notification(
    console: Console, inbox: OperatorInbox, executions: Sequence[FollowedExecution]
) -> Notification | None:
    """Show the message an operator got: about the run that acted, and every run that joined it."""
    console.line()
    run = acted(executions)
    together = {e.run_id for e in executions if e is run or e.relies_on == run.run_id}
    with console.step("waiting for the notification on the operator topic"):
        found = next(
            (
                n
                for n in inbox.received(within_seconds=_NOTIFICATION_SECONDS)
                if all(run_id and run_id in n.text for run_id in together)
            ),
            None,
        )
    if found is None:
        names = " and ".join(sorted(str(run_id) for run_id in together))
        console.line(f"  no notification about {names} arrived", style="red")
        return None
    console.line(f"    subject     {found.subject}")
    for name, value in sorted(found.attributes.items()):
        console.line(f"    {name:<11} {value}")
    console.paragraph(found.text, indent="    | ")
    return found


def _summary(console: Console, rows: Sequence[Row]) -> None:
    console.heading("Summary (seconds since the incident began)")
    titles = ("incident", "alarm", "guard", "change", "verified", "held", "outcome")
    console.line("  {:<21}{:>7}{:>7}{:>8}{:>10}{:>7}  {}".format(*titles))
    for row in rows:
        times = row.times or NOT_REACHED
        moments = (row.alarm, times.guarded, times.changed, times.verified, times.held)
        cells = [_seconds(row.since, moment) for moment in moments]
        console.line(
            "  {:<21}{:>7}{:>7}{:>8}{:>10}{:>7}  {}".format(row.incident, *cells, row.outcome),
            style="green" if row.healed else "red",
        )
    healed = sum(row.healed for row in rows)
    console.line()
    console.line("  (+n): runs of other alarms of the same cause, which joined it", style="dim")
    console.line(
        f"  {healed} of {len(INCIDENTS)} incidents healed",
        style="green" if healed == len(INCIDENTS) else "red",
    )


def _seconds(since: datetime, moment: datetime | None) -> str:
    return "-" if moment is None else f"{(moment - since).total_seconds():.1f}"


if __name__ == "__main__":
    sys.exit(main())

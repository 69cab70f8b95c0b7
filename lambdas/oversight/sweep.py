"""Every few minutes: alarms that no run owns, runs that nobody closed, changes lent out, releases.

CloudWatch does not repeat an alarm that stays red, and an event can be lost. The sweep starts a
runbook once more per state change of an alarm, within the same guard as everyone, and after that
tells a person, once.
"""

import functools
import hashlib
import importlib
import json
import os
from datetime import datetime
from typing import Any

from lambdas.remediation import platform
from lambdas.remediation.alarms import AlarmSpec
from lambdas.remediation.clients import client
from lambdas.remediation.contracts import Mode, Run, iso
from lambdas.remediation.guard import open_window
from lambdas.remediation.messages import (
    Message,
    Topic,
    machine_arn,
    result_lines,
    start_command,
    subject_line,
)
from lambdas.remediation.observability import logger
from lambdas.remediation.records import MITIGATED, OPEN, Item, Record, RunTable, epoch
from lambdas.remediation.request import ALARM_EVENT, SWEEP_SOURCE
from lambdas.remediation.resources.alarms import Alarms
from lambdas.remediation.runbook import Runbook
from lambdas.remediation.runtime import ENDED
from lambdas.remediation.settings import settings
from lambdas.remediation.step import Clock, resource
from lambdas.remediation.targets import place_of

# CloudWatch and we do not round times alike.
TOLERANCE_MS = 1_000


@functools.cache
def _observe_functions() -> dict[str, str]:
    """Reading function of each runbook: name to ARN."""
    functions: dict[str, str] = json.loads(os.environ["OBSERVE_FUNCTION_ARNS"])
    return functions


def handler(_event: dict[str, Any], context: Any) -> dict[str, int]:
    """One sweep.

    Returns
    -------
    dict
        How many runs were `closed`, runbooks `started`, alarms `told`, leases `reminded`, messages
        sent on the `status` of runs, and runbooks `polled` for the releases of their targets.
    """
    sweep = Sweep(context.invoked_function_arn, Clock().now())
    done = {
        "closed": sweep.close_ended_runs(),
        **sweep.look_after_alarms(),
        "reminded": sweep.remind_of_leases(),
        "status": sweep.tell_status(),
        "polled": sweep.poll_releases(),
    }
    logger().info("swept", **done)
    return done


class Sweep:
    """One pass over alarms and records."""

    def __init__(self, own_arn: str, now: datetime) -> None:
        self.now = now
        self.place = place_of(own_arn)
        self.settings = settings()
        self.platform = platform.load()
        self.table = RunTable(client("dynamodb"), self.settings.run_table_name)
        self.topic = Topic(
            client("sns"),
            operators=self.settings.operator_topic_arn,
            chat=self.settings.chat_topic_arn,
        )
        self.runbooks: list[Runbook] = [
            importlib.import_module(f"lambdas.runbooks.{name}.runbook").RUNBOOK
            for name in _observe_functions()
        ]

    # --- runs without an outcome ---

    def close_ended_runs(self) -> int:
        """Have every run closed whose execution is over: its event was lost, or came too early."""
        closed = 0
        for item in self.table.listed(OPEN):
            # The record of a runbook that was removed must not stop the sweep of the others.
            if item["runbook"] not in _observe_functions():
                continue
            status = self._execution_status(item["execution_arn"])
            if status == "RUNNING":
                continue
            detail = {
                "executionArn": item["execution_arn"],
                "name": item["execution_arn"].rpartition(":")[2],
                "status": status,
            }
            self._invoke(item["runbook"], {"detail-type": ENDED, "detail": detail})
            closed += 1
        return closed

    def _invoke(self, runbook_name: str, event: Item) -> None:
        client("lambda").invoke(
            FunctionName=_observe_functions()[runbook_name],
            InvocationType="Event",
            Payload=json.dumps(event),
        )

    def _execution_status(self, arn: str) -> str:
        states = client("stepfunctions")
        try:
            return str(states.describe_execution(executionArn=arn)["status"])
        except states.exceptions.ExecutionDoesNotExist:
            return "ABORTED"  # older than Step Functions remembers

    # --- alarms ---

    def look_after_alarms(self) -> dict[str, int]:
        """Start the runbook of each red alarm that nobody owns, or tell a person."""
        done = {"started": 0, "told": 0}
        for runbook in self.runbooks:
            specs = {a.name: a for a in runbook.alarms(self.platform, self.settings.prefix)}
            for alarm in resource(Alarms).red(list(specs)):
                what = self._look_after(runbook, specs[alarm["AlarmName"]], alarm)
                if what:
                    done[what] += 1
        return done

    def _look_after(self, runbook: Runbook, spec: AlarmSpec, alarm: Item) -> str | None:
        changed = alarm.get("StateTransitionedTimestamp") or alarm["StateUpdatedTimestamp"]
        changed_ms = int(changed.timestamp() * 1000)
        limits = runbook.limits_for(self.platform)
        # Its own event may still be on its way.
        if epoch(self.now) - epoch(changed) < 2 * limits.metric_period_seconds:
            return None
        arn = runbook.target_arn(spec.target, self.platform, self.place)
        pair = self.table.get(f"PAIR#{runbook.name}#{arn}")
        for held in ("open_until", "cool_down_until"):
            if pair.get(held, 0) > epoch(self.now) and (held != "open_until" or "open_run" in pair):
                return None
        # In maintenance red is expected; what is still red after it is looked after then.
        if open_window(self.table, arn, self.now):
            return None
        if self._mark(spec.name, "swept_ms", changed_ms):
            self._start(runbook, spec, alarm)
            return "started"
        if self._mark(spec.name, "told_ms", changed_ms):
            self._tell(runbook, spec, changed)
            return "told"
        return None

    def _mark(self, alarm_name: str, mark: str, changed_ms: int) -> bool:
        """Write down that this state change was dealt with; says whether it is news."""
        return self.table.update(
            f"ALARM#{alarm_name}",
            values={mark: changed_ms},
            condition=f"attribute_not_exists({mark}) OR {mark} < :since",
            given={"since": changed_ms - TOLERANCE_MS},
        )

    def _start(self, runbook: Runbook, spec: AlarmSpec, alarm: Item) -> None:
        states = client("stepfunctions")
        unique = f"{spec.name}@{iso(self.now)}"
        event = {
            "detail-type": ALARM_EVENT,
            "source": SWEEP_SOURCE,
            "id": unique,
            "resources": [alarm["AlarmArn"]],
            "detail": {
                "alarmName": spec.name,
                "state": {
                    "value": "ALARM",
                    "timestamp": iso(self.now),
                    "reason": f"still red: {alarm.get('StateReason', '')}",
                },
            },
        }
        states.start_execution(
            stateMachineArn=self._machine(runbook),
            name=f"sweep-{hashlib.sha256(unique.encode()).hexdigest()[:32]}",
            input=json.dumps(event),
        )

    def _machine(self, runbook: Runbook) -> str:
        return machine_arn(self.place, self.settings.prefix, runbook.kebab)

    def _tell(self, runbook: Runbook, spec: AlarmSpec, changed: datetime) -> None:
        name = next(iter(spec.target.values()))
        observe = {"target": spec.target, "mode": "observe", "reason": "alarm still red"}
        self._publish(
            runbook,
            f"[page] {name}: still red, automation has done what it may ({runbook.title})",
            [
                f"Alarm {spec.name} is red since {iso(changed)}.",
                "The runbook ran for it and may not run again by itself.",
                "",
                "To see what it would do now, without a change:",
                start_command(self._machine(runbook), observe),
            ],
        )

    # --- changes lent out ---

    def remind_of_leases(self) -> int:
        """Tell a person, once, of each temporary change that is due to be given back."""
        reminded = 0
        by_name = {r.name: r for r in self.runbooks}
        for item in self.table.listed(MITIGATED):
            if item["mitigation_until"] > epoch(self.now) or item["runbook"] not in by_name:
                continue
            run_id = item["pk"].removeprefix("RUN#")
            news = self.table.update(
                item["pk"],
                values={"mitigation": "reminded"},
                remove=["open"],
                condition="mitigation = :standing",
                given={"standing": "standing"},
            )
            if not news:
                continue
            runbook = by_name[item["runbook"]]
            name = item["target"].rpartition("/")[2]
            self._publish(
                runbook,
                f"[note] {name}: a temporary change is due to be given back ({runbook.title})",
                [
                    f"Run {run_id} changed {name} for the time being.",
                    *result_lines(json.loads(item.get("answer", "{}")).get("changes", [])),
                    "",
                    "To give it back (to keep it, do nothing: you are told this once):",
                    start_command(
                        self._machine(runbook), {"undo": run_id, "reason": "lease ended"}
                    ),
                ],
            )
            reminded += 1
        return reminded

    # --- how it stands ---

    def tell_status(self) -> int:
        """Tell people how long runs stand, of those runbooks that are to say so on a cadence."""
        told = 0
        by_name = {r.name: r for r in self.runbooks}
        for item in self.table.listed(OPEN):
            runbook = by_name.get(item["runbook"])
            record = self.table.record(item["pk"].removeprefix("RUN#"))
            if runbook is None or record is None or record.run is None or record.state != "open":
                continue
            interval = record.run.limits.get("status_interval_seconds")
            # What asks for nothing but a look is answered by its own message.
            if interval is None or record.run.mode is Mode.OBSERVE:
                continue
            since = epoch(record.run.execution.started_at)
            due = epoch(self.now) - interval
            if since > due or not self.table.update(
                item["pk"],
                values={"status_at": epoch(self.now)},
                condition="#state = :open AND (attribute_not_exists(status_at) "
                "OR status_at <= :due)",
                given={"open": "open", "due": due},
            ):
                continue
            self._tell_status(runbook, record, record.run)
            told += 1
        return told

    def _tell_status(self, runbook: Runbook, record: Record, run: Run) -> None:
        name = next(iter(run.target.values()))
        minutes = (epoch(self.now) - epoch(run.execution.started_at)) // 60
        lines = [f"{runbook.title} on {name}: run {run.id} goes on since {minutes} min."]
        if record.plan:
            lines += ["", record.plan.reason]
        for other in [self.table.record(run_id) for run_id in record.companies]:
            if other is not None:
                outcome = (other.answer or {}).get("outcome", "under way")
                lines += ["", f"{other.item['runbook']} run {other.run_id}: {outcome}"]
        self._publish(
            runbook,
            f"[note] {name}: not over yet, after {minutes} min ({runbook.title})",
            lines,
        )

    # --- releases ---

    def poll_releases(self) -> int:
        """Have each runbook that keeps a ledger note the releases of its targets."""
        keeping = [r for r in self.runbooks if r.keeps_ledger]
        for runbook in keeping:
            self._invoke(runbook.name, {"step": "note_releases"})
        return len(keeping)

    def _publish(self, runbook: Runbook, subject: str, lines: list[str]) -> None:
        severity = subject[1:].partition("]")[0]
        self.topic.publish(
            Message(
                subject=subject_line(subject),
                text="\n".join(lines),
                severity=severity,
                runbook=runbook.name,
                outcome="none",
                mode="none",
                thread=subject_line(subject),
            )
        )

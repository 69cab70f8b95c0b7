"""What a person reads, on a phone, at 3 a.m.: what happened, what was done, proof, undo, links."""

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from lambdas.remediation.changes import leaves, or_none
from lambdas.remediation.contracts import OutcomeName, Plan, PlannedCall, Run
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.records import Record
from lambdas.remediation.runbook import Runbook
from lambdas.remediation.targets import Place

MAX_SUBJECT = 99  # SNS: under 100 characters, no line breaks, no control characters
MAX_LINE_VALUES = 12

HEADLINES = {
    OutcomeName.VERIFIED: "fixed",
    OutcomeName.PROPOSED: "plan only, nothing changed",
    OutcomeName.REFUSED: "NOT handled, the run was refused",
    OutcomeName.DUPLICATE: "already being handled",
    OutcomeName.HANDED_OVER: "needs you",
    OutcomeName.INEFFECTIVE: "changed, but NOT proven fixed",
    OutcomeName.ROLLED_BACK: "change taken back, still needs you",
    OutcomeName.ROLLBACK_FAILED: "HALF DONE, roll-back failed",
}


class Message(Frozen):
    """One notification: text for people, and the attributes that subscriptions filter on."""

    subject: str
    text: str
    severity: str
    runbook: str
    outcome: str
    mode: str
    thread: str


class Topic:
    """Publishes to the operators' topic (text) and to the chat topic (Amazon Q's schema)."""

    service: ClassVar[str] = "sns"

    def __init__(self, client: Any, *, operators: str, chat: str) -> None:
        self.client = client
        self.operators = operators
        self.chat = chat

    def publish(self, message: Message) -> None:
        """Send to both topics."""
        attributes = {
            name: {"DataType": "String", "StringValue": getattr(message, name)}
            for name in ("severity", "runbook", "outcome", "mode")
        }
        self.client.publish(
            TopicArn=self.operators,
            Subject=message.subject,
            Message=message.text,
            MessageAttributes=attributes,
        )
        self.client.publish(
            TopicArn=self.chat, Message=chat_schema(message), MessageAttributes=attributes
        )


def subject_line(text: str) -> str:
    """A subject that SNS accepts: printable ASCII, one line, cut to length."""
    printable = "".join(c if " " <= c <= "~" else " " for c in text)
    return printable if len(printable) <= MAX_SUBJECT else printable[: MAX_SUBJECT - 3] + "..."


def chat_schema(message: Message) -> str:
    """Custom notification of Amazon Q Developer in chat applications."""
    return json.dumps(
        {
            "version": "1.0",
            "source": "custom",
            "content": {
                "textType": "client-markdown",
                "title": message.subject,
                "description": message.text,
            },
            "metadata": {
                "threadId": message.thread,
                "summary": message.subject,
                "eventType": message.outcome,
                "additionalContext": {"severity": message.severity, "runbook": message.runbook},
            },
        }
    )


def target_name(run: Run | None) -> str:
    """The target as people call it."""
    return next(iter(run.target.values()), "?") if run else "unknown target"


def call_lines(calls: list[PlannedCall]) -> list[str]:
    """One line per call, and one per value it changes: `name before -> after`."""
    lines = []
    for call in calls:
        lines.append(f"- {call.api} {call.resource.rpartition(':')[2]}")
        lines += [f"    {line}" for line in value_lines(call.before, call.after)]
    return lines


def value_lines(before: Any, after: Any) -> list[str]:
    """`path before -> after` for each leaf that differs."""
    lines = [f"{name} {or_none(old)} -> {or_none(new)}" for name, old, new in leaves(before, after)]
    return lines[:MAX_LINE_VALUES]


def closing_message(
    runbook: Runbook,
    record: Record | None,
    answer: dict[str, Any],
    *,
    severity: str,
    execution_arn: str,
    companies: Sequence[Record] = (),
) -> Message:
    """The message of a run that ended, and of the runs that it started or joined."""
    run = record.run if record else None
    outcome = OutcomeName(answer["outcome"])
    name = target_name(run)
    what = "undo of " + runbook.title if run and run.kind.value == "undo" else runbook.title
    alarms = [a for one in (record, *companies) if one for a in one.alarms]
    lines = [f"{what} on {name}: {HEADLINES[outcome]}.", ""]
    lines += _paragraph("Why", answer["reason"])
    lines += _paragraph("Alarms" if len(alarms) > 1 else "Alarm", ", ".join(alarms))
    lines += _done(answer, outcome, companies)
    lines += _proof(answer)
    if outcome is OutcomeName.PROPOSED:
        refusals = [r for r in answer.get("would_refuse", []) if r not in answer["reason"]]
        lines += _paragraph("Would be refused now", "; ".join(refusals))
    lines += _paragraph("Next", answer["next_action"] or "")
    if answer["undo"]:
        lines += ["Undo:", answer["undo"]["command"], ""]
    lines += links(answer["run_id"], execution_arn, run)
    for company in companies:
        lines += links(company.run_id, str(company.item["execution_arn"]), None)
    return Message(
        subject=subject_line(f"[{severity}] {name}: {HEADLINES[outcome]} ({what})"),
        text="\n".join(lines),
        severity=severity,
        runbook=runbook.name,
        outcome=outcome.value,
        mode=answer["mode"] or "none",
        thread=answer["run_id"],
    )


def _done(answer: dict[str, Any], outcome: OutcomeName, companies: Sequence[Record]) -> list[str]:
    """What was changed, by this run and by those that it started or joined."""
    lines: list[str] = []
    for company in companies:
        theirs = (company.answer or {}).get("changes", [])
        if not theirs:
            continue
        lines += [f"Done by {company.item['runbook']}:", *result_lines(theirs), ""]
    if answer["changes"]:
        return [*lines, "Done:", *result_lines(answer["changes"]), ""]
    if outcome is OutcomeName.PROPOSED and answer["plan"]["calls"]:
        planned = [PlannedCall(**c) for c in answer["plan"]["calls"]]
        return [*lines, "Would do:", *call_lines(planned), ""]
    return lines or ["Done: nothing was changed.", ""]


def result_lines(results: list[dict[str, Any]]) -> list[str]:
    """Lines of the changes in a run's answer."""
    return call_lines([PlannedCall(arguments={}, **_changed(c)) for c in results])


def _changed(call: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in call.items() if k != "already_applied"}


def _paragraph(title: str, text: str) -> list[str]:
    return [f"{title}: {text}", ""] if text else []


def _proof(answer: dict[str, Any]) -> list[str]:
    verification = answer["verification"]
    if not verification:
        return []
    lines = [f"Check: {verification['verdict']}. {verification['reason']}"]
    if answer["held"] is not None:
        lines.append(f"Held: {'yes' if answer['held'] else 'NO'}")
    return [*lines, ""]


def approval_message(
    runbook: Runbook, run: Run, plan: Plan, plan_hash: str, approve_machine_arn: str
) -> Message:
    """The question that waits for a yes."""
    name = target_name(run)
    answer = {"run_id": run.id, "plan_hash": plan_hash, "decision": "approve", "reason": ""}
    minutes = run.limits["approval_timeout_seconds"] // 60
    text = "\n".join(
        [
            f"{runbook.title} on {name} asks for approval.",
            "",
            f"Why: {plan.reason}",
            "",
            "Will do:",
            *call_lines(plan.calls),
            "",
            *(_paragraph("Would be refused now, also after a yes", "; ".join(plan.would_refuse))),
            f"Approve (or reject) within {minutes} min:",
            start_command(approve_machine_arn, answer),
            "",
            *links(run.id, run.execution.arn, run),
        ]
    )
    return Message(
        subject=subject_line(f"[approve] {name}: {runbook.title}"),
        text=text,
        severity="page",
        runbook=runbook.name,
        outcome="waiting",
        mode=run.mode.value,
        thread=run.id,
    )


def start_command(machine_arn: str, given: dict[str, Any]) -> str:
    """AWS CLI command that starts a machine."""
    # A reason is free text, and people paste this into a shell.
    quoted = json.dumps(given).replace("'", "'\\''")
    return f"aws stepfunctions start-execution --state-machine-arn {machine_arn} --input '{quoted}'"


def machine_arn(place: Place, prefix: str, kebab: str) -> str:
    """ARN of one of the product's machines."""
    return (
        f"arn:{place.partition}:states:{place.region}:{place.account}:stateMachine:{prefix}-{kebab}"
    )


def links(run_id: str, execution_arn: str, run: Run | None) -> list[str]:
    """Where to look: run id, console page of the execution, console page of the alarm."""
    region = execution_arn.split(":")[3]
    console = f"https://{region}.console.aws.amazon.com"
    lines = [
        f"Run: {run_id}",
        f"{console}/states/home?region={region}#/v2/executions/details/{execution_arn}",
    ]
    if run and run.incident:
        alarm = run.incident.alarm_name
        lines.append(f"{console}/cloudwatch/home?region={region}#alarmsV2:alarm/{alarm}")
    return lines

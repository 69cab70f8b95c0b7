"""How a run ends: the record is closed, the target freed, the people told. Safe to repeat.

`Finish` ends a run that its machine brought to the end. `close` ends one whose execution was
aborted, timed out or failed before `Finish`: it reads where the world stands and changes nothing.
"""

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from lambdas.remediation import changes
from lambdas.remediation.clients import client
from lambdas.remediation.contracts import (
    CallResult,
    Decision,
    Kind,
    Mode,
    OutcomeName,
    Run,
    Trigger,
    encode,
    iso,
)
from lambdas.remediation.guard import refund
from lambdas.remediation.messages import Topic, closing_message, start_command
from lambdas.remediation.observability import count
from lambdas.remediation.outcomes import (
    COOLING,
    COUNTING,
    NOBODY,
    PAGE,
    Facts,
    Outcome,
    audience,
    judge,
)
from lambdas.remediation.records import (
    MITIGATED,
    RECORD_SECONDS,
    Item,
    Record,
    RunTable,
    epoch,
)
from lambdas.remediation.runbook import Runbook

# A Fail state takes 32,768 characters of Cause; the rest of the answer is in the run record.
MAX_CAUSE = 30_000
# As JSON, one character takes up to six (twelve beyond the basic plane).
MAX_SHORT_REASON = 2_000
# A changing function cannot run longer (stacks/runbook.py), so its mark cannot be older.
CHANGE_FUNCTION_SECONDS = 60
_UNSETTLED = {OutcomeName.REFUSED, OutcomeName.HANDED_OVER}
NEXT_ACTION = {
    OutcomeName.HANDED_OVER: "look at the target and decide; automation has let go of it",
    OutcomeName.INEFFECTIVE: "the change stands on purpose; find the real cause",
    OutcomeName.ROLLED_BACK: "what was changed is taken back; find the real cause",
    OutcomeName.ROLLBACK_FAILED: "repair the target by hand, then release its quarantine "
    "(docs/operate.md, Quarantine)",
    OutcomeName.REFUSED: "nobody is handling this; act by hand or remove what refused it",
}


class Ending:
    """Ends one run.

    Parameters
    ----------
    record
        Its record; None if `Begin` never wrote one.
    companies
        Records of its children, or of the runs that it joined instead; the latest last.
    alarm_names
        All alarms of this runbook on the run's target: one run answers for all of them.
    """

    def __init__(
        self,
        *,
        runbook: Runbook,
        table: RunTable,
        topic: Topic,
        record: Record | None,
        companies: Sequence[Record] = (),
        run_id: str,
        execution_arn: str,
        resources: Sequence[changes.Resource],
        alarm_names: Sequence[str],
        now: datetime,
    ) -> None:
        self.runbook = runbook
        self.table = table
        self.topic = topic
        self.record = record
        self.companies = companies
        self.run_id = run_id
        self.execution_arn = execution_arn
        self.resources = resources
        self.alarm_names = alarm_names
        self.now = now

    @property
    def run(self) -> Run | None:
        """The run, if `Begin` got that far."""
        return self.record.run if self.record else None

    @property
    def company(self) -> Record | None:
        """The run that this one relied on last."""
        return self.companies[-1] if self.companies else None

    # --- verified, before the hold watch ---

    def settle_verified(self) -> None:
        """Free the target, start the cool-down, close the breaker, let the alarms fire again."""
        run = self.run
        if run is None:
            return
        self._release(run, cooling=run.kind is Kind.CHANGE, leave_open=True)
        if run.kind is Kind.UNDO:
            self.table.update(
                f"RUN#{run.undoes}",
                values={"undone_by": run.id, "mitigation": "given back"},
                remove=["open"],
            )
            return
        self.table.delete(f"BREAKER#{run.runbook}")
        cloudwatch = client("cloudwatch")
        for name in self.alarm_names:
            # An alarm left red by sparse metrics would never fire again; one that somebody deleted
            # must not make the verification fail.
            with contextlib.suppress(cloudwatch.exceptions.ResourceNotFound):
                cloudwatch.set_alarm_state(
                    AlarmName=name, StateValue="OK", StateReason=f"verified by run {run.id}"
                )

    # --- Finish ---

    def finish(self, facts: Facts) -> dict[str, Any]:
        """Close the run with the outcome that the facts come to.

        Returns
        -------
        dict
            `answer` (the object of the design), `cause` (its text for a Fail state), `green`.
        """
        record = self.record
        if record is not None and record.answer is not None:
            return self._result(record.answer)
        plan = record.plan if record else None
        outcome = judge(self.run, plan, facts)
        made: list[CallResult] | None = None
        if (
            outcome.name in _UNSETTLED
            and facts.failure
            and self._was_claimed()
            and plan is not None
        ):
            # A retried change may be refused after its first try had gone through, and what cannot
            # be taken back may have been done half: look. What only went before the change (a
            # backup) leaves the target as it was.
            standing = self._standing()
            counting = [(c.api, c.resource, c.after) for c in changes.undoable(plan.calls)]
            if any((c.api, c.resource, c.after) in counting for c in standing):
                made = standing
                reason = f"{outcome.reason}; a change had been made before and stands"
                outcome = Outcome(name=OutcomeName.HANDED_OVER, reason=reason)
        answer = self._answer(outcome, facts, made)
        self._settle(outcome, answer, self._audience(outcome, facts))
        return self._result(answer)

    def _audience(self, outcome: Outcome, facts: Facts) -> str:
        """Who is told; a run whose parent or joiner is still open leaves it to that one."""
        run, record = self.run, self.record
        teller = run.parent if run else None
        if teller is None and record is not None and outcome.name.green:
            teller = record.item.get("joined_by")
        other = self.table.record(teller) if teller else None
        if other is not None and other.state == "open":
            return NOBODY
        return audience(outcome.name, run, facts.failure)

    def _result(self, answer: dict[str, Any]) -> dict[str, Any]:
        green = OutcomeName(answer["outcome"]).green
        short = answer | {"plan": {"hash": answer["plan"]["hash"]}}
        cause = json.dumps(short)
        if len(cause) > MAX_CAUSE:
            small = {k: short[k] for k in ("run_id", "runbook", "outcome", "reason")}
            cause = json.dumps(small | {"reason": small["reason"][:MAX_SHORT_REASON]})
        return {"answer": answer if green else short, "cause": cause, "green": green}

    def _answer(
        self, outcome: Outcome, facts: Facts, made: list[CallResult] | None = None
    ) -> dict[str, Any]:
        record, run = self.record, self.run
        plan = record.plan if record else None
        made = self._changes_made(outcome, facts) if made is None else made
        answer: dict[str, Any] = {
            "run_id": self.run_id,
            "runbook": self.runbook.name,
            "outcome": outcome.name.value,
            "held": outcome.held,
            "reason": outcome.reason,
            "target": run.target if run else {},
            "mode": run.mode.value if run else None,
            "plan": {
                "hash": record.item.get("plan_hash") if record else None,
                "calls": encode(plan.calls) if plan else [],
            },
            "changes": encode(made),
            "verification": encode(facts.verification) if facts.verification else None,
            "undo": self._undo(outcome, made) or self._undo_of_company(),
            "joined": self._joined(),
            "duplicate_of": self._duplicate_of(outcome),
        }
        if self.company is not None:
            answer["child"] = self.company.run_id
        if plan and plan.would_refuse:
            answer["would_refuse"] = plan.would_refuse
        answer["next_action"] = NEXT_ACTION.get(outcome.name)
        if outcome.name is OutcomeName.REFUSED and self._by_person():
            # Nobody waits for it: the reason says what to type instead.
            answer["next_action"] = None
        return answer

    def _joined(self) -> str | None:
        """The run that was joined: company that this run did not start itself."""
        company = self.company
        if company is None or (company.run is not None and company.run.parent == self.run_id):
            return None
        return company.run_id

    def _duplicate_of(self, outcome: Outcome) -> str | None:
        duplicate = self.record is not None and outcome.name is OutcomeName.DUPLICATE
        return self.record.refusal.get("held_by") if self.record and duplicate else None

    def _undo_of_company(self) -> dict[str, str] | None:
        """A run that changed nothing itself is undone by undoing the one it relied on."""
        plan = self.record.plan if self.record else None
        if plan is None or plan.decision is not Decision.DELEGATE or self.company is None:
            return None
        return (self.company.answer or {}).get("undo")

    def _by_person(self) -> bool:
        return self.run is None or self.run.trigger is Trigger.PERSON

    def _changes_made(self, outcome: Outcome, facts: Facts) -> list[CallResult]:
        if outcome.name is OutcomeName.ROLLED_BACK and facts.rollback:
            earlier = facts.change.calls if facts.change else []
            return facts.rollback.calls or [
                dataclasses.replace(c, before=c.after, after=c.before, already_applied=True)
                for c in reversed(earlier)
            ]
        if facts.change:
            return facts.change.calls
        if outcome.name is OutcomeName.ROLLBACK_FAILED:
            return self._standing()
        return []

    def _standing(self) -> list[CallResult]:
        """The plan's calls that are in force now, as read."""
        plan = self.record.plan if self.record else None
        return [
            CallResult(api=c.api, resource=c.resource, before=c.before, after=c.after)
            for c in (plan.calls if plan else [])
            if changes.position(c, self.resources) is changes.Position.AFTER
        ]

    def _undo(self, outcome: Outcome, made: Sequence[CallResult]) -> dict[str, str] | None:
        run = self.run
        stands = outcome.name in {
            OutcomeName.VERIFIED,
            OutcomeName.INEFFECTIVE,
            OutcomeName.HANDED_OVER,
        }
        if run is None or not made or not stands or run.kind is Kind.UNDO:
            return None
        if not self.runbook.reversible:
            return None
        machine = self.execution_arn.replace(":execution:", ":stateMachine:").rpartition(":")[0]
        return {"command": start_command(machine, {"undo": run.id, "reason": ""})}

    # --- an execution that ended by itself ---

    def close(self, detail: dict[str, Any]) -> dict[str, Any]:
        """Close what an aborted, timed-out or crashed execution left open.

        The platform is only read: as before, the target is freed; as after, it is freed and the
        change stands, with its undo; anything else is quarantined.

        Returns
        -------
        dict
            `closed`: whether the run has an outcome now. A change that may still be in flight is
            left for the sweep.
        """
        status = detail["status"]
        if self.record is not None and self.record.state == "closed":
            return {"closed": True}
        if self.record is not None and not self._fence():
            return {"closed": False}
        ended = f"the execution ended {status}"
        made: list[CallResult] = []
        if self.record is None:
            outcome = Outcome(
                name=OutcomeName.HANDED_OVER, reason=f"{ended} before the run was recorded"
            )
        else:
            outcome, made = self._where_it_stands(ended)
        answer = self._answer(outcome, Facts(), made)
        self._settle(outcome, answer, PAGE)
        count("RunInterrupted")
        return {"closed": True}

    def _fence(self) -> bool:
        """Let no further change in; says whether none can be in flight."""
        self.table.update(
            f"RUN#{self.run_id}",
            values={"state": "closing"},
            condition="#state <> :closed",
            given={"closed": "closed"},
        )
        self.record = self.table.record(self.run_id)
        since = self.record.item.get("changing_since") if self.record else None
        in_flight = timedelta(seconds=CHANGE_FUNCTION_SECONDS)
        return since is None or since <= epoch(self.now - in_flight)

    def _where_it_stands(self, ended: str) -> tuple[Outcome, list[CallResult]]:
        record = self.record
        plan = record.plan if record else None
        if record is None or not record.claimed or plan is None:
            return Outcome(name=OutcomeName.HANDED_OVER, reason=f"{ended}; nothing was changed"), []
        made = self._standing()
        main = changes.decisive(plan.calls, self.resources)
        where = [changes.position(c, self.resources) for c in main]
        if all(position is changes.Position.BEFORE for position in where):
            return Outcome(name=OutcomeName.HANDED_OVER, reason=f"{ended}; nothing was changed"), []
        if all(changes.position(c, self.resources) is changes.Position.AFTER for c in main):
            reason = f"{ended}; the change stands, unverified"
            return Outcome(name=OutcomeName.HANDED_OVER, reason=reason), made
        reason = f"{ended} half way; the target is neither as before nor as planned"
        return Outcome(name=OutcomeName.ROLLBACK_FAILED, reason=reason), made

    # --- what every ending does ---

    def _settle(self, outcome: Outcome, answer: dict[str, Any], told: str) -> None:
        """Free, count, tell, close: in that order, so that a repeat starts where it broke."""
        run = self.run
        if run is not None and run.mode is not Mode.OBSERVE:
            cooling = outcome.name in COOLING and run.kind is Kind.CHANGE and self._was_claimed()
            self._release(run, cooling=cooling)
            self._count_failure(run, outcome.name)
            if self.record is not None and not answer["changes"]:
                refund(self.table, self.record)
        if told != NOBODY:
            message = closing_message(
                self.runbook,
                self.record,
                answer,
                severity=told,
                execution_arn=self.execution_arn,
                companies=self.companies,
            )
            self.topic.publish(message)
            self._mark_told(run)
        self._close(answer)
        count("RemediationOutcome", Runbook=self.runbook.name, Outcome=outcome.name.value)

    def _was_claimed(self) -> bool:
        return self.record is not None and self.record.claimed

    def _release(self, run: Run, *, cooling: bool, leave_open: bool = False) -> None:
        self.table.update(
            f"TARGET#{run.target_arn}",
            remove=["owner", "lease_until"],
            condition="#owner = :me",
            given={"me": run.id},
        )
        pair = f"PAIR#{run.runbook}#{run.target_arn}"
        # A run that was verified already started its cool-down then, not again at its end.
        started = self.record is not None and "cooling_since" in self.record.item
        values: Item = {}
        if cooling and not started:
            values = {"cool_down_until": epoch(self.now) + run.limits["cool_down_seconds"]}
            self.table.update(f"RUN#{run.id}", values={"cooling_since": epoch(self.now)})
        remove = [] if leave_open else ["open_run", "open_until"]
        if values or remove:
            self.table.update(
                pair,
                values=values,
                remove=remove,
                condition="open_run = :me",
                given={"me": run.id},
            )

    def _count_failure(self, run: Run, outcome: OutcomeName) -> None:
        if outcome is OutcomeName.ROLLBACK_FAILED:
            self.table.put(
                {
                    "pk": f"QUARANTINE#{run.target_arn}",
                    "run_id": run.id,
                    "since": iso(self.now),
                }
            )
            count("TargetQuarantined")
        if outcome not in COUNTING or run.kind is Kind.UNDO:
            return
        # Counted once per run, also if this ending is repeated.
        first = self.table.update(
            f"RUN#{run.id}",
            values={"counted": True},
            condition="attribute_not_exists(counted)",
        )
        if not first:
            return
        failures = self.table.add_failure(run.runbook)
        at_once = outcome is OutcomeName.ROLLBACK_FAILED
        if at_once or failures >= run.limits["breaker_failures"]:
            until = epoch(self.now) + run.limits["breaker_open_seconds"]
            self.table.update(f"BREAKER#{run.runbook}", values={"open_until": until})
            count("BreakerOpened")

    def _mark_told(self, run: Run | None) -> None:
        if run is not None and run.incident is not None:
            at = int(run.incident.changed_at.timestamp() * 1000)
            self.table.update(f"ALARM#{run.incident.alarm_name}", values={"told_ms": at})

    def _close(self, answer: dict[str, Any]) -> None:
        values: Item = {
            "runbook": self.runbook.name,
            "execution_arn": self.execution_arn,
            "state": "closed",
            "outcome": answer["outcome"],
            "answer": answer,
            "ended_at": iso(self.now),
            # Also of a record that no Begin has written.
            "expires_at": epoch(self.now) + RECORD_SECONDS,
        }
        remove = ["approval_token", "changing_since"]
        stands = bool(answer["undo"] and answer["changes"])
        if self.run is not None and stands and not self.run.harmless:
            # A change that stands is a lease: the sweep finds it in the open index when it is due.
            lease = self.run.limits["mitigation_lease_seconds"]
            values |= {
                "open": MITIGATED,
                "mitigation": "standing",
                "mitigation_until": epoch(self.now) + lease,
            }
        else:
            remove.append("open")
        self.table.update(f"RUN#{self.run_id}", values=values, remove=remove)

"""The life of a run: what the envelope's states do, the same for every runbook.

`Begin` -> `Prepare` -> mode -> change -> `Verify` -> hold watch -> `Finish`
(statemachines/envelope.asl.json). The states decide the order; what each does is here.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from types import ModuleType
from typing import Any

from lambdas.remediation import changes, platform
from lambdas.remediation.clients import client
from lambdas.remediation.company import meet
from lambdas.remediation.contracts import (
    Change,
    Decision,
    Execution,
    Kind,
    Mode,
    Plan,
    PlannedCall,
    Prepared,
    Run,
    RunbookRequest,
    Verdict,
    Verification,
    decode,
    encode,
    iso,
)
from lambdas.remediation.endings import Ending
from lambdas.remediation.errors import (
    ApprovalDeniedError,
    ConcurrentChangeError,
    DuplicateRunError,
    InvalidRequestError,
    NotAdmittedError,
    PrerequisiteNotMetError,
    RefusedError,
    TargetNotFoundError,
    WorldMovedError,
)
from lambdas.remediation.guard import Guard, admit_change, check_windows
from lambdas.remediation.ledger import ReleaseLedger
from lambdas.remediation.messages import Topic, approval_message, machine_arn, start_command
from lambdas.remediation.observability import logger
from lambdas.remediation.outcomes import read_facts
from lambdas.remediation.records import OPEN, RECORD_SECONDS, Record, RunTable, epoch
from lambdas.remediation.request import (
    MAX_REASON,
    STARTED_BY,
    example_on_error,
    read_request,
)
from lambdas.remediation.resources.alarms import Alarms
from lambdas.remediation.runbook import Runbook
from lambdas.remediation.settings import settings
from lambdas.remediation.step import Attempt, Clock, Role, call_step, resource, steps_of
from lambdas.remediation.targets import place_of

LEASE_MARGIN_SECONDS = 60
Event = dict[str, Any]


class Life:
    """One invocation of one of a runbook's two functions.

    Parameters
    ----------
    runbook
        Declaration.
    steps
        The runbook's `steps` module.
    role
        Which of the two functions this is.
    context
        Lambda context.
    """

    def __init__(self, runbook: Runbook, steps: ModuleType, role: Role, context: Any) -> None:
        self.runbook = runbook
        self.steps = steps
        self.role = role
        self.context = context
        self.clock = Clock()
        self.settings = settings()
        self.platform = platform.load()
        self.table = RunTable(client("dynamodb"), self.settings.run_table_name)

    @property
    def observing(self) -> dict[str, Callable[[Event], Any]]:
        """Envelope steps of the reading function."""
        return {
            "begin": self.begin,
            "prepare": self.prepare,
            "request_approval": self.request_approval,
            "claim": self.claim,
            "read_child": self.read_child,
            "verify": self.verify,
            "watch_hold": self.watch_hold,
            "finish": self.finish,
            "note_releases": self.note_releases,
        }

    def perform(self, event: Event) -> Any:
        """Run the step that a state asks for; gives its JSON-ready result."""
        name = event["step"]
        log = logger()
        log.append_keys(runbook=self.runbook.name, step=name, run_id=event.get("run_id"))
        log.info("step")
        if self.role is Role.OBSERVE and name in self.observing:
            return self.observing[name](event)
        if self.role is Role.CHANGE and name == "undo":
            return encode(self._change(event, self._apply_undo))
        info = steps_of(self.steps).get(name)
        if info is None or info.role is not self.role:
            raise NotAdmittedError(
                f"{self.role} function of {self.runbook.name} has no step {name}"
            )
        if self.role is Role.CHANGE:
            return encode(self._change(event, lambda r: self._step(name, r, event)))
        return encode(self._step(name, self._open_record(event), event))

    # --- Begin ---

    def begin(self, event: Event) -> Event:
        """Decode and check the input, find the target, and take what the mode needs."""
        execution = decode(Execution, event["execution"], "execution")
        run_id = f"{self.runbook.kebab}:{execution.name}"
        run: Run | None = None
        try:
            request = read_request(
                self.runbook, self.platform, self.settings.prefix, event.get("input")
            )
            run = self._run(run_id, execution, request)
            if run.mode is not Mode.OBSERVE:
                check_windows(self.table, run.target_arn, run.trigger, self.clock.now())
            run = self._guard().begin(run)
        except RefusedError as error:
            self._record_refusal(run_id, execution, run, error)
            raise
        return {
            "run": {
                "id": run.id,
                "kind": run.kind.value,
                "mode": run.mode.value,
                "limits": run.limits,
                "keep_when_ineffective": self.runbook.keep_when_ineffective,
            }
        }

    def _run(self, run_id: str, execution: Execution, request: RunbookRequest) -> Run:
        limits = self.runbook.limits_for(self.platform).as_dict()
        target = request.target
        parent = self._parent(request)
        if request.undo:
            with example_on_error(self.runbook, self.platform):
                undone = self._undone(request.undo)
            target = undone.target
            # An undo is proven by what is there now: there is no symptom to watch.
            limits = {**limits, "hold_checks": 0}
        if parent:
            # The parent watches its own symptom, which is why it started this run.
            limits = {**limits, "hold_checks": 0}
        target_arn = self.runbook.target_arn(target, self.platform, place_of(execution.arn))
        ends = execution.started_at + timedelta(
            seconds=self.settings.machine_timeout_seconds + LEASE_MARGIN_SECONDS
        )
        return Run(
            id=run_id,
            runbook=self.runbook.name,
            kind=Kind.UNDO if request.undo else Kind.CHANGE,
            mode=request.mode,
            trigger=request.trigger,
            target=target,
            target_arn=target_arn,
            parameters=request.parameters,
            reason=request.reason,
            requested_by=request.requested_by,
            execution=execution,
            lease_until=ends,
            limits=limits,
            options=self.runbook.options_for(self.platform),
            undoes=request.undo,
            event_id=request.event_id,
            incident=request.incident,
            parent=request.parent,
            under_lock_of=parent.id if parent and parent.target_arn == target_arn else None,
            harmless=self.runbook.harmless,
        )

    def _parent(self, request: RunbookRequest) -> Run | None:
        """The run that started this one, if it is open and its plan asked for just this."""
        if request.parent is None:
            return None
        record = self.table.record(request.parent)
        if (
            record is None
            or record.run is None
            or record.state != "open"
            or record.item["execution_arn"] != request.parent_execution_arn
        ):
            raise InvalidRequestError(
                f"parent: {request.parent!r} is not the open run of the execution that started "
                "this one; leave it out when you start by hand"
            )
        asked = record.plan.children if record.plan else []
        if (self.runbook.name, request.target) not in [(c.runbook, c.target) for c in asked]:
            raise InvalidRequestError(f"parent: run {request.parent} did not ask for this")
        if record.run.parent:
            raise InvalidRequestError(f"parent: run {request.parent} is a child, it starts none")
        return record.run

    def _undone(self, run_id: str) -> Run:
        """The run to undo, if it is one that can be."""
        if not run_id.startswith(f"{self.runbook.kebab}:"):
            raise InvalidRequestError(
                f"undo: {run_id!r} is not a run of {self.runbook.name}; start its own machine"
            )
        record = self.table.record(run_id)
        if record is None or record.run is None:
            raise TargetNotFoundError(f"undo: there is no run {run_id!r} in the run table")
        if record.plan is None or not record.claimed:
            raise PrerequisiteNotMetError(f"undo: run {run_id} changed nothing")
        if record.plan.decision is Decision.DELEGATE:
            answer = record.answer or {}
            how = (answer.get("undo") or {}).get("command", "it left nothing to undo")
            raise PrerequisiteNotMetError(
                f"undo: run {run_id} changed nothing itself; undo run {answer.get('child')}: {how}"
            )
        if "undone_by" in record.item:
            raise PrerequisiteNotMetError(
                f"undo: run {run_id} was already undone by run {record.item['undone_by']}"
            )
        names = self.runbook.target.names(self.platform)
        if record.run.target[self.runbook.target.key] not in names:
            raise TargetNotFoundError(f"undo: the target of {run_id} left platform.json")
        return record.run

    def _record_refusal(
        self, run_id: str, execution: Execution, run: Run | None, error: RefusedError
    ) -> None:
        if isinstance(error, DuplicateRunError) and error.held_by and run and run.incident:
            self.table.add_alarm(error.held_by, run.incident.alarm_name)
        self.table.put_new(
            {
                "pk": f"RUN#{run_id}",
                "runbook": self.runbook.name,
                "target": run.target_arn if run else None,
                "state": "open",
                "open": OPEN,
                "mode": run.mode.value if run else None,
                "execution_arn": execution.arn,
                "started_at": iso(execution.started_at),
                "lease_until": epoch(execution.started_at)
                + self.settings.machine_timeout_seconds
                + LEASE_MARGIN_SECONDS,
                "run": encode(run) if run else None,
                "refusal": {
                    "error": type(error).__name__,
                    "message": str(error),
                    "held_by": error.held_by,
                },
                "expires_at": epoch(self.clock.now()) + RECORD_SECONDS,
            }
        )

    def _guard(self) -> Guard:
        return Guard(
            self.table,
            now=self.clock.now(),
            max_platform_changes_per_hour=self.platform.max_changes_per_hour,
        )

    # --- Prepare ---

    def prepare(self, event: Event) -> Event:
        """Take the snapshot, decide, and store both before anything can change."""
        record = self._open_record(event)
        run = self._run_of(record)
        prepared = record.prepared
        if prepared is None:
            prepared = self._observed(run) if run.mode is Mode.OBSERVE else self._prepared(run)
            if run.mode is Mode.PROPOSE:
                prepared = self._warned(run, prepared)
            self._save(run, prepared)
        plan = prepared.plan
        return {
            "plan": {
                "hash": plan.hash(run.runbook, run.target_arn),
                "decision": plan.decision.value,
                "reason": plan.reason,
                "calls": len(plan.calls),
                "children": [
                    self._child_start(run, plan, number) for number in range(len(plan.children))
                ],
            }
        }

    def _child_start(self, run: Run, plan: Plan, number: int) -> Event:
        """Arguments of an execution that `RunChild` starts."""
        child = plan.children[number]
        if child.runbook not in self.runbook.children:
            raise ValueError(f"{self.runbook.name} does not declare its child {child.runbook}")
        kebab = child.runbook.replace("_", "-")
        # A child that goes before a change belongs to that change, which was approved as a whole.
        mode = run.mode if plan.decision is Decision.DELEGATE else Mode.ACT
        return {
            "machine_arn": self._machine(run, kebab),
            "name": _child_name(run, number),
            "input": {
                "target": child.target,
                "mode": mode.value,
                "reason": child.reason[:MAX_REASON],
                "parent": run.id,
                STARTED_BY: run.execution.arn,
            },
        }

    def _prepared(self, run: Run) -> Prepared:
        if run.kind is Kind.UNDO:
            return self._prepare_undo(run)
        # A target that is not there any more is not what was typed: no example helps.
        with example_on_error(self.runbook, self.platform, (InvalidRequestError,)):
            prepared: Prepared = call_step(self.steps.prepare, run=run, clock=self.clock)
        if run.parent and prepared.plan.child:
            plan = Plan(
                decision=Decision.HAND_OVER,
                reason=f"{prepared.plan.reason} This needs {prepared.plan.child.runbook}, and a "
                "run that another run started starts none itself.",
                evidence=prepared.plan.evidence,
            )
            return dataclasses.replace(prepared, plan=plan)
        return prepared

    def _observed(self, run: Run) -> Prepared:
        """The plan, and everything that would refuse it: observe itself is refused by nothing."""
        refusals = self._guard().would_refuse(run)
        try:
            prepared = self._prepared(run)
        except RefusedError as error:
            plan = Plan(decision=Decision.HAND_OVER, reason=f"would be refused: {error}")
            prepared = Prepared(snapshot={}, plan=plan)
            refusals.append(str(error))
        plan = dataclasses.replace(prepared.plan, would_refuse=refusals)
        return dataclasses.replace(prepared, plan=plan)

    def _warned(self, run: Run, prepared: Prepared) -> Prepared:
        """With what would be refused after the yes: whoever approves has to know."""
        refusals = self._guard().would_refuse(run)
        plan = dataclasses.replace(prepared.plan, would_refuse=refusals)
        return dataclasses.replace(prepared, plan=plan)

    def _save(self, run: Run, prepared: Prepared) -> None:
        saved = self.table.update(
            f"RUN#{run.id}",
            values={
                "plan": encode(prepared.plan),
                "plan_hash": prepared.plan.hash(run.runbook, run.target_arn),
                "snapshot": json.dumps(encode(prepared.snapshot)),
            },
            condition="#state = :open",
            given={"open": "open"},
        )
        if not saved:
            raise NotAdmittedError(f"run {run.id} was closed while it prepared")

    def _prepare_undo(self, run: Run) -> Prepared:
        undone = self.table.record(run.undoes or "")
        if undone is None or undone.prepared is None:
            raise PrerequisiteNotMetError(f"undo: run {run.undoes} left no plan")
        calls = []
        for call in reversed(changes.undoable(undone.prepared.plan.calls)):
            try:
                where = changes.position(call, self._resources())
            except TargetNotFoundError:
                raise WorldMovedError(_gone(run, call)) from None
            if where is changes.Position.ELSEWHERE:
                raise WorldMovedError(self._moved(run, call))
            if where is changes.Position.AFTER:
                calls.append(_reversible(call, run).inverse())
        if not calls:
            raise PrerequisiteNotMetError(f"undo: nothing of run {run.undoes} is left to take back")
        plan = Plan(
            decision=Decision.CHANGE,
            reason=f"Takes back run {run.undoes}. {run.reason}",
            calls=calls,
        )
        call_step(self.steps.check_undo, run=run, plan=plan, clock=self.clock)
        return Prepared(snapshot={"undoes": run.undoes}, plan=plan)

    def _moved(self, run: Run, call: PlannedCall) -> str:
        now = changes.resource_for(call, self._resources()).present(call)
        if changes.gone(call.after, now):
            return _gone(run, call)
        return (
            f"undo: {call.resource} is no longer what run {run.undoes} left: "
            f"{changes.differences(call.after, now)}; change it by hand"
        )

    # --- Approval ---

    def request_approval(self, event: Event) -> Event:
        """Send the question. The state after this one waits, with the task token in the record."""
        record = self._open_record(event)
        run, plan = self._run_of(record), self._plan_of(record)
        plan_hash = str(record.item["plan_hash"])
        deadline = self.clock.now() + timedelta(seconds=run.limits["approval_timeout_seconds"])
        self.table.update(f"RUN#{run.id}", values={"approval_deadline": epoch(deadline)})
        self._topic().publish(
            approval_message(self.runbook, run, plan, plan_hash, self._machine(run, "approve"))
        )
        return {"deadline": iso(deadline)}

    def claim(self, event: Event) -> Event:
        """After the yes: look at `before` again, then take lock and budget."""
        record = self._open_record(event)
        run, plan = self._run_of(record), self._plan_of(record)
        if record.item.get("decision") != "approve":
            raise ApprovalDeniedError(
                f"rejected: {record.item.get('decision_reason') or 'no reason given'}"
            )
        if not record.claimed:
            for call in plan.calls:
                if changes.position(call, self._resources()) is not changes.Position.BEFORE:
                    again = start_command(self._machine(run, self.runbook.kebab), _again(run))
                    raise WorldMovedError(
                        f"{call.resource} changed since the plan was made; for a new one: {again}"
                    )
            self._guard().claim(run)
        return {}

    # --- Child, and the run to join ---

    def read_child(self, event: Event) -> Event:
        """What became of the child, or of the open run that it met; changes nothing.

        Where the remedy's target is held by another run, this run joins that one: it waits for
        its end, and then looks at its own symptom.
        """
        record = self._open_record(event)
        run, plan = self._run_of(record), self._plan_of(record)
        number = int(event["child_number"])
        if number >= len(plan.children):
            raise NotAdmittedError(f"run {run.id} has no child {number}")
        runbook = plan.children[number].runbook
        child_id = f"{runbook.replace('_', '-')}:{_child_name(run, number)}"
        company = meet(
            self.table,
            run,
            plan,
            child_id,
            attempt=_attempt(event),
        )
        known = [c for c in record.companies if c != company.run_id]
        self.table.update(f"RUN#{run.id}", values={"companies": [*known, company.run_id]})
        result: Event = encode(company)
        return result

    # --- Change ---

    def _change(self, event: Event, act: Callable[[Record], Any]) -> Any:
        """Let one changing call through, and mark the record while it is under way."""
        remaining = timedelta(milliseconds=self.context.get_remaining_time_in_millis())
        record = admit_change(
            self.table,
            event["run_id"],
            event["plan_hash"],
            now=self.clock.now(),
            longest=remaining,
            rolling_back=event["step"] == "roll_back",
        )
        try:
            return act(record)
        except ConcurrentChangeError as error:
            # Nothing of ours is there to be taken back, and what is there is somebody else's.
            if error.untouched and "tried" not in record.item:
                raise WorldMovedError(str(error)) from error
            raise
        finally:
            self.table.update(f"RUN#{record.run_id}", remove=["changing_since"])

    def _apply_undo(self, record: Record) -> Change:
        return changes.apply(self._plan_of(record).calls, self._resources(), self.clock.now)

    def _step(self, name: str, record: Record, event: Event) -> Any:
        change = event.get("change")
        return call_step(
            getattr(self.steps, name),
            run=self._run_of(record),
            plan=self._plan_of(record),
            change=decode(Change, change) if change else None,
            attempt=_attempt(event),
            clock=self.clock,
        )

    # --- Verify, hold ---

    def verify(self, event: Event) -> Event:
        """Judge the symptom; once it is gone, free the target before the hold watch begins."""
        record = self._open_record(event)
        verification: Verification = self._step("verify", record, event)
        if verification.verdict is Verdict.PASSED:
            self._ending(record).settle_verified()
        result: Event = encode(verification)
        return result

    def watch_hold(self, event: Event) -> Event:
        """Look whether the healed target stays healed."""
        result: Event = encode(self._step("watch_hold", self._open_record(event), event))
        return result

    # --- Finish ---

    def finish(self, event: Event) -> Event:
        """Close the run: one outcome, target freed, people told. Safe to repeat."""
        execution = decode(Execution, event["execution"], "execution")
        run_id = f"{self.runbook.kebab}:{execution.name}"
        record = self.table.record(run_id)
        return self._ending(record, run_id, execution.arn).finish(read_facts(event))

    def close_ended(self, detail: Event) -> Event:
        """Close a run whose execution ended without an outcome; never changes the platform."""
        run_id = f"{self.runbook.kebab}:{detail['name']}"
        record = self.table.record(run_id)
        return self._ending(record, run_id, detail["executionArn"]).close(detail)

    # --- between runs ---

    def note_releases(self, _event: Event) -> Event:
        """Write down which release each target has, for those runbooks that keep a ledger."""
        alarms = self.runbook.alarms(self.platform, self.settings.prefix)
        red = {a["AlarmName"] for a in resource(Alarms).red([a.name for a in alarms])}
        place = place_of(self.context.invoked_function_arn)
        current: dict[str, str] = call_step(self.steps.current_releases, clock=self.clock)
        for name, value in current.items():
            target = {self.runbook.target.key: name}
            resource(ReleaseLedger).note(
                self.runbook.target_arn(target, self.platform, place),
                value,
                healthy=not any(a.name in red for a in alarms if a.target == target),
                now=self.clock.now(),
            )
        return {"noted": len(current)}

    # --- what the steps above share ---

    def _ending(self, record: Record | None, run_id: str = "", execution_arn: str = "") -> Ending:
        return Ending(
            runbook=self.runbook,
            table=self.table,
            topic=self._topic(),
            record=record,
            companies=self._company(record),
            run_id=record.run_id if record else run_id,
            execution_arn=record.item["execution_arn"] if record else execution_arn,
            resources=self._resources(),
            alarm_names=[
                a.name
                for a in self.runbook.alarms(self.platform, self.settings.prefix)
                # A composite alarm follows those it reads; set by hand, it might never come back.
                if record and record.run and a.target == record.run.target and not a.composite
            ],
            now=self.clock.now(),
        )

    def _company(self, record: Record | None) -> list[Record]:
        ids = record.companies if record else []
        return [found for run_id in ids if (found := self.table.record(run_id))]

    def _open_record(self, event: Event) -> Record:
        record = self.table.record(event["run_id"])
        if record is None or record.state != "open":
            raise NotAdmittedError(f"run {event['run_id']} is not open")
        return record

    def _run_of(self, record: Record) -> Run:
        if record.run is None:
            raise NotAdmittedError(f"run {record.run_id} was refused")
        return record.run

    def _plan_of(self, record: Record) -> Plan:
        if record.plan is None:
            raise NotAdmittedError(f"run {record.run_id} has no plan yet")
        return record.plan

    def _resources(self) -> list[changes.Resource]:
        return [resource(kind) for kind in self.steps.RESOURCES]

    def _topic(self) -> Topic:
        return Topic(
            client("sns"),
            operators=self.settings.operator_topic_arn,
            chat=self.settings.chat_topic_arn,
        )

    def _machine(self, run: Run, kebab: str) -> str:
        return machine_arn(place_of(run.execution.arn), self.settings.prefix, kebab)


def _attempt(event: Event) -> Attempt:
    number = int(event.get("attempt", 1))
    return Attempt(number=number, final=number >= int(event.get("attempts", number)))


def _reversible(call: PlannedCall, run: Run) -> PlannedCall:
    if not call.reversible:
        raise PrerequisiteNotMetError(f"undo: {call.api} of run {run.undoes} cannot be taken back")
    return call


def _again(run: Run) -> dict[str, Any]:
    """Input of a fresh proposal of the same."""
    if run.undoes:
        return {"undo": run.undoes, "mode": "propose", "reason": run.reason}
    asked = {"parameters": run.parameters} if run.parameters else {}
    return {"target": run.target, **asked, "mode": "propose", "reason": run.reason}


def _gone(run: Run, call: PlannedCall) -> str:
    left = f"what run {run.undoes} left at {call.resource}"
    return f"undo: {left} is gone; there is nothing to take back"


def _child_name(run: Run, number: int) -> str:
    """Name of a child's execution: the same for every try to start it."""
    return f"child-{hashlib.sha256(run.id.encode()).hexdigest()[:32]}" + (
        f"-{number}" if number else ""
    )

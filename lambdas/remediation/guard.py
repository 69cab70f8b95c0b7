"""Admission: everything that must be true, and taken, before a run may change something.

All of it is one DynamoDB transaction, so two runs can never both be let in. It is Python and not a
state because only the SDK returns, for each failed condition, the item that failed it: a refusal
says who holds the lock and until when.
"""

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from lambdas.remediation.contracts import Kind, Mode, Run, Trigger, encode, iso
from lambdas.remediation.errors import (
    BreakerOpenError,
    BudgetExceededError,
    CoolDownActiveError,
    DuplicateRunError,
    MutedError,
    NotAdmittedError,
    RefusedError,
    TargetLockedError,
    TargetQuarantinedError,
    ThrottledError,
)
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.records import (
    EVENT_SECONDS,
    OPEN,
    RECORD_SECONDS,
    Item,
    Record,
    RunTable,
    epoch,
    from_item,
    moment,
    record_of,
    to_item,
)

CONFLICT_RETRIES = 4
RETRIED_CODES = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
_HOUR = 3_600


class _Condition(Frozen):
    """One item of the transaction, and the refusal if its condition does not hold."""

    write: dict[str, Any]
    refuse: Callable[[Item], RefusedError]


class Guard:
    """Takes what a run needs, all or nothing.

    Parameters
    ----------
    table
        The run table.
    now
        Current time.
    max_platform_changes_per_hour
        Budget of the whole platform.
    """

    def __init__(
        self, table: RunTable, *, now: datetime, max_platform_changes_per_hour: int
    ) -> None:
        self.table = table
        self.now = now
        self.max_platform_changes_per_hour = max_platform_changes_per_hour

    def begin(self, run: Run) -> Run:
        """Record a run and take what its mode needs.

        `observe` takes nothing and is refused by nothing. `propose` becomes the one open run of its
        runbook on the target; the lock is taken after the yes (`claim`). `act` takes everything.

        Returns
        -------
        Run
            The run, or the one this execution already began (`Begin` was retried).

        Raises
        ------
        RefusedError
            One of its leaves, naming the condition, who holds it and until when.
        ThrottledError
            The transaction met others and lost every time.
        """
        if run.mode is Mode.OBSERVE:
            conditions = [self._record(run)]
        else:
            conditions = [self._record(run), *self._event(run), self._switch()]
            if run.kind is Kind.CHANGE:
                conditions.append(self._pair(run))
            if run.mode is Mode.ACT:
                conditions += self._changing(run)
        earlier = self._transact(run, conditions)
        if earlier is None:
            return run
        if earlier.run is None or earlier.refusal:
            raise refusal_again(earlier.refusal)
        return earlier.run

    def would_refuse(self, run: Run) -> list[str]:
        """Every refusal this run would meet in `act`, without taking anything.

        The same transaction with one condition that never holds: DynamoDB checks them all, reports
        each, and writes nothing.
        """
        # A proposal looks after its target already.
        begins = run.kind is Kind.CHANGE and run.mode is Mode.OBSERVE
        pair = [self._pair(run)] if begins else []
        conditions = [self._switch(), *pair, *self._changing(run)]
        never = _check("NEVER", "attribute_exists(pk)")
        writes = [self._named(w) for w in (never, *(c.write for c in conditions))]
        try:
            self.table.client.transact_write_items(TransactItems=writes)
        except self.table.client.exceptions.TransactionCanceledException as error:
            reasons = error.response["CancellationReasons"][1:]
        return [
            str(condition.refuse(from_item(reason.get("Item"))))
            for condition, reason in zip(conditions, reasons, strict=True)
            if reason.get("Code") == "ConditionalCheckFailed"
        ]

    def claim(self, run: Run) -> None:
        """Take lock and budget for an approved run; what `begin` does for `act`.

        Raises
        ------
        RefusedError
            As `begin`.
        """
        mark = {
            "Update": {
                "Key": {"pk": {"S": f"RUN#{run.id}"}},
                "UpdateExpression": "SET claimed = :yes, budget_hour = :hour",
                "ConditionExpression": "#state = :open AND decision = :approve "
                "AND attribute_not_exists(claimed)",
                "ExpressionAttributeNames": {"#state": "state"},
                "ExpressionAttributeValues": to_item(
                    {
                        ":yes": True,
                        ":hour": self._hour,
                        ":open": "open",
                        ":approve": "approve",
                    }
                ),
            }
        }
        conditions = [
            _Condition(write=mark, refuse=lambda _: NotAdmittedError("the run is not approved")),
            self._switch(),
            *self._changing(run),
        ]
        self._transact(run, conditions)

    @property
    def _hour(self) -> int:
        return epoch(self.now) // _HOUR

    # --- the items of the transaction ---

    def _record(self, run: Run) -> _Condition:
        item = {
            "pk": f"RUN#{run.id}",
            "runbook": run.runbook,
            "target": run.target_arn,
            "state": "open",
            "open": OPEN,
            "mode": run.mode.value,
            "claimed": True if run.mode is Mode.ACT else None,
            "budget_hour": self._hour if run.mode is Mode.ACT else None,
            "execution_arn": run.execution.arn,
            "started_at": iso(run.execution.started_at),
            "lease_until": epoch(run.lease_until),
            "run": encode(run),
            "expires_at": epoch(self.now) + RECORD_SECONDS,
        }
        return _Condition(
            write=_put(item, "attribute_not_exists(pk)"),
            refuse=lambda _: DuplicateRunError(f"run {run.id} exists already", run.id),
        )

    def _event(self, run: Run) -> list[_Condition]:
        if run.incident is None or run.event_id is None:
            return []
        at = epoch(run.incident.changed_at)
        name = run.incident.alarm_name
        event = {
            "pk": f"EVENT#{run.event_id}",
            "run_id": run.id,
            "expires_at": epoch(self.now) + EVENT_SECONDS,
        }
        alarm = {
            ":at": int(run.incident.changed_at.timestamp() * 1000),
            ":run": run.id,
            ":expires": epoch(self.now) + RECORD_SECONDS,
        }
        return [
            _Condition(
                write=_put(event, "attribute_not_exists(pk)"),
                refuse=lambda old: DuplicateRunError(
                    f"event {run.event_id} was already taken by run {old.get('run_id')}",
                    old.get("run_id"),
                ),
            ),
            _Condition(
                # An update: the item also keeps what the sweep and the last ending noted there.
                write=_update(
                    f"ALARM#{name}",
                    "SET changed_at_ms = :at, run_id = :run, expires_at = :expires",
                    "attribute_not_exists(changed_at_ms) OR changed_at_ms < :at",
                    alarm,
                ),
                refuse=lambda old: DuplicateRunError(
                    f"a newer state change of {name} than {iso(moment(at))} was already taken "
                    f"by run {old.get('run_id')}",
                    old.get("run_id"),
                ),
            ),
        ]

    def _switch(self) -> _Condition:
        return _Condition(
            write=_check(
                "SWITCH", "attribute_not_exists(pk) OR automation <> :off", {":off": "off"}
            ),
            refuse=switched_off,
        )

    def _pair(self, run: Run) -> _Condition:
        def refuse(old: Item) -> RefusedError:
            if "open_run" in old and old.get("open_until", 0) > epoch(self.now):
                return DuplicateRunError(
                    f"run {old['open_run']} already looks after {run.target_arn}", old["open_run"]
                )
            return CoolDownActiveError(
                f"{run.runbook} has just acted on {run.target_arn} and pauses until "
                f"{iso(moment(old.get('cool_down_until', 0)))}; undo still works",
                old.get("last_run"),
            )

        return _Condition(
            write=_update(
                f"PAIR#{run.runbook}#{run.target_arn}",
                "SET open_run = :me, last_run = :me, open_until = :until",
                "(attribute_not_exists(open_run) OR open_until <= :now) AND "
                "(attribute_not_exists(cool_down_until) OR cool_down_until <= :now)",
                {":me": run.id, ":until": epoch(run.lease_until), ":now": epoch(self.now)},
            ),
            refuse=refuse,
        )

    def _changing(self, run: Run) -> list[_Condition]:
        """Quarantine and lock, and for a change (not for an undo) breaker and budgets."""
        conditions = [
            _Condition(
                write=_check(f"QUARANTINE#{run.target_arn}", "attribute_not_exists(pk)"),
                refuse=lambda old: TargetQuarantinedError(
                    f"{run.target_arn} is quarantined since run {old.get('run_id')} could not be "
                    "rolled back; look at it, then release it (docs/operate.md, Quarantine)"
                ),
            ),
            self._lock(run),
        ]
        if run.kind is Kind.UNDO:
            return conditions
        ceilings = (
            (
                f"{run.runbook} on {run.target_arn}",
                run.limits["max_changes_per_hour"],
                f"runbooks.{run.runbook}.limits.max_changes_per_hour",
            ),
            (
                "the whole platform, for what starts by itself",
                self.max_platform_changes_per_hour,
                "max_changes_per_hour, at the top level,",
            ),
        )
        return [
            *conditions,
            _Condition(
                write=_check(
                    f"BREAKER#{run.runbook}",
                    "attribute_not_exists(open_until) OR open_until <= :now",
                    {":now": epoch(self.now)},
                ),
                refuse=lambda old: BreakerOpenError(
                    f"{run.runbook} failed too often and is stopped until "
                    f"{iso(moment(old.get('open_until', 0)))}; find out why, or free it now "
                    "(docs/operate.md, Breaker)"
                ),
            ),
            *(
                self._budget(pk, *ceiling)
                for pk, ceiling in zip(budgets(run, self._hour), ceilings, strict=False)
            ),
        ]

    def _lock(self, run: Run) -> _Condition:
        def refuse(old: Item) -> RefusedError:
            return TargetLockedError(
                f"run {old.get('owner')} is changing {run.target_arn} and holds it until "
                f"{iso(moment(old.get('lease_until', 0)))} at the latest; wait for its end, or "
                "stop it (docs/operate.md, Stop one run)",
                old.get("owner"),
            )

        pk, owner = f"TARGET#{run.target_arn}", {"#owner": "owner"}
        if run.under_lock_of:
            given = {":parent": run.under_lock_of, ":now": epoch(self.now)}
            held = _check(pk, "#owner = :parent AND lease_until > :now", given, owner)
            return _Condition(write=held, refuse=refuse)
        return _Condition(
            write=_update(
                pk,
                "SET #owner = :me, lease_until = :until",
                "attribute_not_exists(#owner) OR lease_until <= :now OR #owner = :me",
                {":me": run.id, ":until": epoch(run.lease_until), ":now": epoch(self.now)},
                owner,
            ),
            refuse=refuse,
        )

    def _budget(self, pk: str, whose: str, maximum: int, key: str) -> _Condition:
        hour_ends = moment((self._hour + 1) * _HOUR)
        return _Condition(
            write=_update(
                pk,
                "ADD used :one SET expires_at = :expires",
                "attribute_not_exists(used) OR used < :most",
                {":one": 1, ":most": maximum, ":expires": epoch(hour_ends) + _HOUR},
            ),
            refuse=lambda old: BudgetExceededError(
                f"budget of {whose}: {old.get('used')} of {maximum} changes of this hour are used "
                f"up until {iso(hour_ends)}; wait, or raise {key} in platform.json"
            ),
        )

    # --- the transaction ---

    def _transact(self, run: Run, conditions: list[_Condition]) -> Record | None:
        writes = [self._named(c.write) for c in conditions]
        for attempt in range(CONFLICT_RETRIES + 1):
            try:
                self.table.client.transact_write_items(TransactItems=writes)
            except self.table.client.exceptions.TransactionCanceledException as error:
                reasons = error.response.get("CancellationReasons", [])
            else:
                return None
            own = self._already_taken(run, conditions, reasons)
            if own is not None:
                return own
            self._raise_refusal(conditions, reasons)
            # Two transactions met on one item. Full jitter: the loser comes back alone.
            time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311
        raise ThrottledError("the run table is busy; the state machine tries again")

    def _named(self, write: dict[str, Any]) -> dict[str, Any]:
        ((kind, arguments),) = write.items()
        return {
            kind: {
                **arguments,
                "TableName": self.table.name,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _already_taken(
        self, run: Run, conditions: list[_Condition], reasons: list[Item]
    ) -> Record | None:
        """The execution's own record, when a retried `Begin` or `Claim` finds its work done."""
        if not reasons or reasons[0].get("Code") != "ConditionalCheckFailed":
            return None
        old = from_item(reasons[0].get("Item"))
        if old.get("execution_arn") != run.execution.arn or old.get("state") != "open":
            return None
        retried_claim = "Update" not in conditions[0].write or bool(old.get("claimed"))
        return record_of(old) if retried_claim else None

    def _raise_refusal(self, conditions: list[_Condition], reasons: list[Item]) -> None:
        for condition, reason in zip(conditions, reasons, strict=True):
            if reason.get("Code") == "ConditionalCheckFailed":
                raise condition.refuse(from_item(reason.get("Item")))
        unknown = {str(r.get("Code")) for r in reasons} - RETRIED_CODES - {"None"}
        if unknown:
            raise RuntimeError(f"the run table refused the transaction: {sorted(unknown)}")


def budgets(run: Run, hour: int) -> tuple[str, ...]:
    """Items that count the changes of a clock hour: of this runbook on the target, and of all.

    What people start, they count themselves: six new users must not keep an alarm from being
    answered.
    """
    own, everybody = f"BUDGET#{run.runbook}#{run.target_arn}#{hour}", f"BUDGET#platform#{hour}"
    by_itself = run.trigger is not Trigger.PERSON and not run.harmless
    return (own, everybody) if by_itself else (own,)


def refund(table: RunTable, record: Record) -> None:
    """Give back, once, what a run took from the hour's budgets without changing anything."""
    if record.run is None or record.run.kind is Kind.UNDO or "budget_hour" not in record.item:
        return
    first = table.update(
        f"RUN#{record.run_id}",
        values={"refunded": True},
        condition="attribute_not_exists(refunded)",
    )
    for pk in budgets(record.run, record.item["budget_hour"]) if first else ():
        table.take_back(pk)


def refusal_again(refusal: Item) -> RefusedError:
    """The refusal that a retried `Begin` gave the first time."""
    by_name = {c.__name__: c for c in RefusedError.__subclasses__()}
    return by_name[refusal["error"]](refusal["message"], refusal.get("held_by"))


def switched_off(switch: Item) -> MutedError:
    """Refusal by the kill switch."""
    return MutedError(
        f"automation is switched off ({switch.get('reason', 'no reason given')}); "
        "switch it on again first (docs/operate.md, Kill switch)"
    )


def open_window(table: RunTable, target_arn: str, now: datetime) -> Item | None:
    """The maintenance window that the target, or the whole platform, is in."""
    for window in table.get_together(["WINDOW#*", f"WINDOW#{target_arn}"]):
        if window and window["from"] <= epoch(now) < window["until"]:
            return window
    return None


def check_windows(table: RunTable, run_target_arn: str, trigger: Trigger, now: datetime) -> None:
    """Refuse what an alarm started in a maintenance window; a person may act in it.

    Raises
    ------
    MutedError
        The target, or the whole platform, is in a maintenance window.
    """
    window = None if trigger is Trigger.PERSON else open_window(table, run_target_arn, now)
    if window:
        raise MutedError(
            f"maintenance until {iso(moment(window['until']))}: "
            f"{window.get('reason', 'no reason given')}"
        )


def admit_change(
    table: RunTable,
    run_id: str,
    plan_hash: str,
    *,
    now: datetime,
    longest: timedelta,
    rolling_back: bool,
) -> Record:
    """Read run, lock and kill switch again, and let this one changing call through.

    The record is marked `changing_since` under the condition that the run is open: closing an
    aborted run first moves it out of `open`, then looks at the mark, so a change that is still in
    flight is never overlooked.

    Parameters
    ----------
    longest
        The function's own remaining time: the lease must outlast it.
    rolling_back
        A roll-back is let through by the kill switch: it ends a change, it does not begin one.

    Raises
    ------
    NotAdmittedError
        The run is not open, not allowed to act, has another plan, or has lost the lock.
    MutedError
        The kill switch went off.
    """
    record = table.record(run_id)
    if record is None or record.run is None:
        raise NotAdmittedError(f"there is no run {run_id}")
    _, lock, switch = table.get_together(
        [f"RUN#{run_id}", f"TARGET#{record.run.target_arn}", "SWITCH"]
    )
    if switch.get("automation") == "off" and not rolling_back:
        raise switched_off(switch)
    if record.state != "open" or not record.claimed:
        raise NotAdmittedError(f"run {run_id} is {record.state} and may not change anything")
    if plan_hash != record.item.get("plan_hash"):
        raise NotAdmittedError(f"run {run_id}: plan_hash is not the hash of its plan")
    if lock.get("owner") != record.run.lock_owner or lock.get("lease_until", 0) <= epoch(
        now + longest
    ):
        raise NotAdmittedError(f"run {run_id} does not hold {record.run.target_arn} long enough")
    marked = table.update(
        f"RUN#{run_id}",
        values={"changing_since": epoch(now), "tried": True},
        condition="#state = :open",
        given={"open": "open"},
    )
    if not marked:
        raise NotAdmittedError(f"run {run_id} was closed just now")
    return record


def _put(item: Item, condition: str, given: Item | None = None) -> dict[str, Any]:
    arguments: dict[str, Any] = {"Item": to_item(item), "ConditionExpression": condition}
    if given:
        arguments["ExpressionAttributeValues"] = to_item(given)
    return {"Put": arguments}


def _check(
    pk: str, condition: str, given: Item | None = None, names: dict[str, str] | None = None
) -> dict[str, Any]:
    arguments: dict[str, Any] = {"Key": {"pk": {"S": pk}}, "ConditionExpression": condition}
    if given:
        arguments["ExpressionAttributeValues"] = to_item(given)
    if names:
        arguments["ExpressionAttributeNames"] = names
    return {"ConditionCheck": arguments}


def _update(
    pk: str, expression: str, condition: str, given: Item, names: dict[str, str] | None = None
) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "Key": {"pk": {"S": pk}},
        "UpdateExpression": expression,
        "ConditionExpression": condition,
        "ExpressionAttributeValues": to_item(given),
    }
    if names:
        arguments["ExpressionAttributeNames"] = names
    return {"Update": arguments}

"""Decisions of `dynamodb_throttling`: pure functions, no AWS call, no clock, no environment.

The remedy follows the cause that DynamoDB itself counts most (`*ThrottleEvents` by reason):

- provisioned capacity: raise it, or the minimum of Application Auto Scaling where that rules it;
- maximum of on-demand throughput: raise the maximum;
- key range (a hot partition), account limit, unknown: nothing here helps, a person has to.

A mixture is treated by its largest part, and the reason names the rest. Between equal parts the one
with a remedy comes first (the order of `Cause`): raising capacity is harmless, and if it does not
help the run says so.

Writes are raised for the table and all its indexes together, since an index that cannot keep up
throttles the writes of its table. Reads of a table and of an index do not touch each other, so only
what was throttled is raised.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from lambdas.remediation.contracts import (
    Check,
    Decision,
    Json,
    Plan,
    PlannedCall,
    Verdict,
    Verification,
)
from lambdas.remediation.errors import PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.dynamodb_table import (
    ACTIVE,
    BILLING_MODE,
    CAPACITY,
    PAY_PER_REQUEST,
    PROVISIONED,
    UPDATE_TABLE,
    TableDescription,
    TableOrIndex,
    update_table_arguments,
)
from lambdas.remediation.resources.scalable_target import (
    REGISTER_SCALABLE_TARGET,
    ScalableTarget,
    register_scalable_target_arguments,
    resource_id,
    scalable_dimension,
)
from lambdas.runbooks.dynamodb_throttling.runbook import DynamoDbThrottlingLimits

# Amazon DynamoDB Developer Guide, "Switching capacity modes": four switches to on-demand in any
# 24 hours. DescribeTable tells only of the last, so a younger one leaves the count unknown.
SWITCH_QUOTA_WINDOW = timedelta(hours=24)


class Cause(StrEnum):
    """Why DynamoDB throttled; the value is what its metrics call it. Order: first wins a tie."""

    PROVISIONED = "ProvisionedThroughput"
    ON_DEMAND_MAXIMUM = "MaxOnDemandThroughput"
    KEY_RANGE = "KeyRangeThroughput"
    ACCOUNT_LIMIT = "AccountLimit"
    UNKNOWN = "Unknown"

    @property
    def words(self) -> str:
        """The cause for a person."""
        return _WORDS[self]


_WORDS = {
    Cause.PROVISIONED: "provisioned capacity",
    Cause.ON_DEMAND_MAXIMUM: "on-demand maximum",
    Cause.KEY_RANGE: "a hot key range",
    Cause.ACCOUNT_LIMIT: "the account's limit",
    Cause.UNKNOWN: "an unknown cause",
}


class Access(StrEnum):
    """Reads and writes have capacity of their own; the value is how setting names begin."""

    READ = "Read"
    WRITE = "Write"

    @property
    def capacity(self) -> str:
        """`ReadCapacityUnits` or `WriteCapacityUnits`."""
        return f"{self.value}CapacityUnits"

    @property
    def maximum(self) -> str:
        """`MaxReadRequestUnits` or `MaxWriteRequestUnits`."""
        return f"Max{self.value}RequestUnits"


class Usage(Frozen):
    """What a table or index went through, in reads or in writes, during the look-back.

    Parameters
    ----------
    throttle_events
        All of them, whatever the cause.
    by_cause
        As the metrics by cause tell; empty where the Region has none of those yet.
    consumed_per_second
        Capacity units a second in the busiest period.
    """

    index_name: str | None = None
    access: Access
    throttle_events: float = 0
    by_cause: Mapping[Cause, float] = field(default_factory=dict)
    consumed_per_second: float = 0

    @property
    def key(self) -> tuple[str | None, Access]:
        """What it is the usage of."""
        return self.index_name, self.access


class Situation(Frozen):
    """Everything the decision rests on.

    Parameters
    ----------
    requested_ceiling
        The person's `max_capacity_units`, if any.
    """

    table: TableDescription
    targets: tuple[ScalableTarget, ...] = ()
    usage: tuple[Usage, ...] = ()
    limits: DynamoDbThrottlingLimits
    requested_ceiling: int | None = None
    allow_on_demand: bool = False
    now: datetime

    def ceiling(self, limit: int) -> int:
        """A limit, or what the person asked for if that is lower."""
        return limit if self.requested_ceiling is None else min(limit, self.requested_ceiling)

    def usage_of(self, part: TableOrIndex, access: Access) -> Usage:
        """Usage of a table or index."""
        nothing = Usage(index_name=part.index_name, access=access)
        return next((u for u in self.usage if u.key == (part.index_name, access)), nothing)

    def target_of(self, part: TableOrIndex, access: Access) -> ScalableTarget | None:
        """Scalable target of a capacity setting, if Application Auto Scaling rules it."""
        wanted = (
            resource_id(self.table.table_name, part.index_name),
            scalable_dimension(part.index_name, access.capacity),
        )
        found = (t for t in self.targets if (t.resource_id, t.scalable_dimension) == wanted)
        return next(found, None)


class _Raise(Frozen):
    """One setting that goes up."""

    part: TableOrIndex
    access: Access
    old: int
    new: int
    throttled: bool
    target: ScalableTarget | None = None

    @property
    def text(self) -> str:
        what = f"{self.part.label} {self.access.value.lower()}"
        return f"{what} {self.old} to {self.new}" + (" (scaling minimum)" if self.target else "")


def decide(situation: Situation) -> Plan:
    """Choose the remedy by the cause of the throttling.

    Raises
    ------
    PrerequisiteNotMetError
        Nothing was throttled during the look-back; the message has the numbers looked at.
    """
    events = events_by_cause(situation)
    if not events:
        raise PrerequisiteNotMetError(_calm(situation))
    cause = dominant(events)
    evidence = _evidence(situation, events, cause)
    headline = _headline(situation, events, cause)
    if cause is Cause.PROVISIONED:
        return _raise_capacity(situation, headline, evidence)
    if cause is Cause.ON_DEMAND_MAXIMUM:
        return _raise_maximum(situation, headline, evidence)
    return _hand_over(f"{headline} {_NO_REMEDY[cause]}", evidence)


_NO_REMEDY = {
    Cause.KEY_RANGE: (
        "More capacity does not help one hot partition: spread or cache the busiest keys."
    ),
    Cause.ACCOUNT_LIMIT: (
        "Ask for a higher DynamoDB quota of this account and Region (Service Quotas), "
        "or lower the capacity of other tables."
    ),
    Cause.UNKNOWN: (
        "The table is on demand and CloudWatch names no cause: look for hot keys and at the "
        "account's quotas."
    ),
}


def causes_of(usage: Usage, billing_mode: str) -> dict[Cause, float]:
    """Throttle events of one usage by cause, zeros left out.

    Notes
    -----
    Older Regions count throttle events without a cause. With provisioned capacity that is by far
    the likeliest; on demand nothing can be assumed.
    """
    known = {c: n for c, n in usage.by_cause.items() if n > 0}
    if known or usage.throttle_events <= 0:
        return known
    assumed = Cause.PROVISIONED if billing_mode == PROVISIONED else Cause.UNKNOWN
    return {assumed: usage.throttle_events}


def events_by_cause(situation: Situation) -> dict[Cause, float]:
    """Throttle events of table and indexes together, by cause, zeros left out."""
    found: dict[Cause, float] = {}
    for usage in situation.usage:
        for cause, count in causes_of(usage, situation.table.billing_mode).items():
            found[cause] = found.get(cause, 0) + count
    return found


def dominant(events: Mapping[Cause, float]) -> Cause:
    """The cause with most events; between equals the first in the order of `Cause`."""
    return max((c for c in Cause if c in events), key=lambda c: events[c])


def new_units(
    old: int, consumed_per_second: float, ceiling: int, limits: DynamoDbThrottlingLimits
) -> int:
    """Units to set: by growth or by consumption, whichever is more.

    Parameters
    ----------
    old
        Present units; the answer is never lower, even above the ceiling.
    consumed_per_second
        Units a second in the busiest period.
    ceiling
        The answer passes it only where `old` already does.
    """
    grown = _ceil_div(old * limits.capacity_growth_percent, 100)
    # Whole thousandths of a unit: exact, where a division of floats could round one up.
    thousandths = round(consumed_per_second * 1_000) * limits.consumption_headroom_percent
    needed = _ceil_div(thousandths, 1_000 * limits.target_utilization_percent)
    return max(old, min(ceiling, max(grown, needed)))


def _ceil_div(number: int, divisor: int) -> int:
    return -(-number // divisor)


def _together(situation: Situation, cause: Cause) -> list[tuple[TableOrIndex, Access, bool]]:
    """What to raise and whether it was throttled itself (module docstring: writes, reads)."""
    parts = situation.table.table_and_indexes
    mode = situation.table.billing_mode
    throttled = {u.key for u in situation.usage if cause in causes_of(u, mode)}
    writes = any(access is Access.WRITE for _, access in throttled)
    return [
        (part, access, (part.index_name, access) in throttled)
        for access in Access
        for part in parts
        if (part.index_name, access) in throttled or (access is Access.WRITE and writes)
    ]


def _raise_capacity(situation: Situation, headline: str, evidence: dict[str, Json]) -> Plan:
    if situation.table.billing_mode != PROVISIONED:
        return _hand_over(
            f"{headline} The table is on demand by now: look whether it still throttles.", evidence
        )
    wanted = _together(situation, Cause.PROVISIONED)
    suspended = [
        f"{part.label} {access.value.lower()}"
        for part, access, throttled in wanted
        if throttled and _suspended(situation.target_of(part, access))
    ]
    if suspended:
        return _hand_over(
            f"{headline} Scaling out is suspended for {', '.join(suspended)}, and someone meant "
            "that: resume it, or raise the capacity by hand.",
            evidence,
        )
    raises = [r for w in wanted if (r := _capacity_raise(situation, *w))]
    if not any(r.throttled for r in raises):
        return _exhausted(situation, headline, evidence)
    return _change(headline, raises, _capacity_calls(situation.table, raises), evidence)


def _suspended(target: ScalableTarget | None) -> bool:
    return target is not None and target.scaling_out_suspended


def _capacity_raise(
    situation: Situation, part: TableOrIndex, access: Access, throttled: bool
) -> _Raise | None:
    target = situation.target_of(part, access)
    if _suspended(target):
        return None
    present = part.settings()[part.key(access.capacity)] or 0
    # Auto Scaling may still be lifting the capacity to a minimum raised a moment ago.
    old = present if target is None else max(present, target.min_capacity)
    consumed = situation.usage_of(part, access).consumed_per_second
    ceiling = situation.ceiling(situation.limits.max_capacity_units)
    new = new_units(old, consumed, ceiling, situation.limits)
    if new == old:
        return None
    return _Raise(part=part, access=access, old=old, new=new, throttled=throttled, target=target)


def _capacity_calls(table: TableDescription, raises: Sequence[_Raise]) -> list[PlannedCall]:
    """UpdateTable for what Auto Scaling does not rule, then one call for each dimension it does.

    UpdateTable goes first: once a minimum is raised, Auto Scaling is updating the table too.
    """
    own = [r for r in raises if r.target is None]
    after = {r.part.key(r.access.capacity): r.new for r in own}
    calls = [_update_table(table, after)] if after else []
    return calls + [_register(r.target, r.new) for r in raises if r.target is not None]


def _update_table(table: TableDescription, after: Mapping[str, Any]) -> PlannedCall:
    now = table.settings()
    return PlannedCall(
        api=UPDATE_TABLE,
        resource=table.table_arn,
        arguments=update_table_arguments(table, after),
        before={key: now[key] for key in after},
        after=dict(after),
    )


def _register(target: ScalableTarget, minimum: int) -> PlannedCall:
    after = {"MinCapacity": minimum, "MaxCapacity": max(target.max_capacity, minimum)}
    return PlannedCall(
        api=REGISTER_SCALABLE_TARGET,
        resource=target.resource,
        arguments=register_scalable_target_arguments(target.resource, after),
        before=dict(target.bounds),
        after=dict(after),
    )


def _exhausted(situation: Situation, headline: str, evidence: dict[str, Json]) -> Plan:
    """Nothing left to raise: on-demand, if that is allowed and surely possible."""
    ceiling = situation.ceiling(situation.limits.max_capacity_units)
    headline = f"{headline} Capacity is at its ceiling of {ceiling}"
    obstacle = _on_demand_obstacle(situation)
    if obstacle:
        return _hand_over(
            f"{headline}, and it stays provisioned: {obstacle}. Raise the ceiling, or lower the "
            "load.",
            evidence,
        )
    after: dict[str, Any] = {BILLING_MODE: PAY_PER_REQUEST}
    # The capacities are in the call so that the way back knows them, for every index.
    after |= {
        part.key(name): None for part in situation.table.table_and_indexes for name in CAPACITY
    }
    return Plan(
        decision=Decision.CHANGE,
        reason=f"{headline}: switch table and indexes to on-demand.",
        calls=[_update_table(situation.table, after)],
        evidence=evidence,
    )


def _on_demand_obstacle(situation: Situation) -> str | None:
    switched = situation.table.last_update_to_pay_per_request_at
    if not situation.allow_on_demand:
        return "the option allow_on_demand is off"
    if situation.requested_ceiling is not None:
        return "on-demand would have no ceiling, and the request sets one"
    if situation.table.replica_regions:
        return "it is a global table, whose scaling settings would be lost"
    if switched is not None and situation.now - switched < SWITCH_QUOTA_WINDOW:
        return (
            f"it was switched to on-demand at {switched:%Y-%m-%d %H:%M} UTC, and DynamoDB allows "
            "four switches in 24 hours"
        )
    return None


def _raise_maximum(situation: Situation, headline: str, evidence: dict[str, Json]) -> Plan:
    if situation.table.billing_mode != PAY_PER_REQUEST:
        return _hand_over(
            f"{headline} The table is provisioned by now: look whether it still throttles.",
            evidence,
        )
    wanted = _together(situation, Cause.ON_DEMAND_MAXIMUM)
    raises = [r for w in wanted if (r := _maximum_raise(situation, *w))]
    if not any(r.throttled for r in raises):
        return _hand_over(
            f"{headline} The maximum is at the ceiling this runbook may set: raise the ceiling, "
            "or lower the load.",
            evidence,
        )
    after = {r.part.key(r.access.maximum): r.new for r in raises}
    return _change(headline, raises, [_update_table(situation.table, after)], evidence)


def _maximum_raise(
    situation: Situation, part: TableOrIndex, access: Access, throttled: bool
) -> _Raise | None:
    old = part.settings()[part.key(access.maximum)]
    if old is None:
        return None
    limits = situation.limits
    limit = {
        Access.READ: limits.max_read_request_units,
        Access.WRITE: limits.max_write_request_units,
    }[access]
    consumed = situation.usage_of(part, access).consumed_per_second
    new = new_units(old, consumed, situation.ceiling(limit), limits)
    if new == old:
        return None
    return _Raise(part=part, access=access, old=old, new=new, throttled=throttled)


def _change(
    headline: str, raises: Sequence[_Raise], calls: list[PlannedCall], evidence: dict[str, Json]
) -> Plan:
    return Plan(
        decision=Decision.CHANGE,
        reason=f"{headline} Raise {', '.join(r.text for r in raises)}.",
        calls=calls,
        evidence=evidence,
    )


def _hand_over(reason: str, evidence: dict[str, Json]) -> Plan:
    return Plan(decision=Decision.HAND_OVER, reason=reason, evidence=evidence)


def _headline(situation: Situation, events: Mapping[Cause, float], cause: Cause) -> str:
    span = duration(situation.limits.look_back_seconds)
    rest = [f"{events[c]:.0f} from {c.words}" for c in Cause if c in events and c is not cause]
    also = f" (also {', '.join(rest)})" if rest else ""
    return f"{events[cause]:.0f} throttle events in {span} from {cause.words}{also}."


def _calm(situation: Situation) -> str:
    busiest = {
        access: max(
            (u.consumed_per_second for u in situation.usage if u.access is access), default=0
        )
        for access in Access
    }
    indexes = len(situation.table.table_and_indexes) - 1
    return (
        f"table {situation.table.table_name}: nothing throttled in the last "
        f"{duration(situation.limits.look_back_seconds)} (table and {indexes} indexes: 0 read and "
        f"0 write throttle events; busiest period {busiest[Access.READ]:.1f} reads/s, "
        f"{busiest[Access.WRITE]:.1f} writes/s), so there is nothing to raise"
    )


def _evidence(situation: Situation, events: Mapping[Cause, float], cause: Cause) -> dict[str, Json]:
    mode = situation.table.billing_mode
    return {
        "cause": cause.value,
        "throttle_events": {c.value: round(n) for c, n in events.items()},
        "look_back_seconds": situation.limits.look_back_seconds,
        "throttled": [
            {
                "index_name": usage.index_name,
                "access": usage.access.value,
                "throttle_events": {c.value: round(n) for c, n in causes_of(usage, mode).items()},
                "consumed_per_second": round(usage.consumed_per_second, 3),
            }
            for usage in situation.usage
            if causes_of(usage, mode)
        ],
    }


def throttled_in(evidence: Mapping[str, Json]) -> set[tuple[str | None, Access]]:
    """What a plan's evidence says was throttled: whose traffic a verification needs to see."""
    return {(t["index_name"], Access(t["access"])) for t in evidence.get("throttled", ())}


def unsettled(
    calls: Iterable[PlannedCall], table: TableDescription, targets: Sequence[ScalableTarget]
) -> list[str]:
    """What is not yet as the calls want it; empty when all is.

    Notes
    -----
    The status may still be ACTIVE right after UpdateTable, so the values count as well.
    """
    found = [
        f"{part.label} is {part.status}"
        for part in table.table_and_indexes
        if part.status != ACTIVE
    ]
    bounds = {t.resource: t for t in targets}
    for call in calls:
        if call.api == UPDATE_TABLE:
            found += _differences(call, table.present(call))
        else:
            found += _scaling_differences(call, bounds.get(call.resource), table)
    return found


def _differences(call: PlannedCall, present: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} is {present[key]}, wanted {value}"
        for key, value in call.after.items()
        if present[key] != value
    ]


def _scaling_differences(
    call: PlannedCall, target: ScalableTarget | None, table: TableDescription
) -> list[str]:
    if target is None:
        return [f"scalable target {call.resource} is gone"]
    found = _differences(call, target.bounds)
    part, setting = _scaled(call, table)
    capacity = part.settings()[part.key(setting)] if part else None
    if capacity is not None and capacity < call.after["MinCapacity"]:
        found.append(f"{setting} is {capacity}, Auto Scaling has not lifted it yet")
    return found


def _scaled(call: PlannedCall, table: TableDescription) -> tuple[TableOrIndex | None, str]:
    """Table or index and setting that a RegisterScalableTarget call is about."""
    identifier, dimension, _ = call.resource.split("|")
    parts = (
        p
        for p in table.table_and_indexes
        if resource_id(table.table_name, p.index_name) == identifier
    )
    return next(parts, None), dimension.rpartition(":")[2]


class Calm(Frozen):
    """What was measured in a window of complete periods after the change.

    Parameters
    ----------
    periods, wanted_periods
        Complete periods there are, and how many the window needs.
    samples, minimum_samples
        Periods in which what had been throttled had traffic, and how many are needed.
    utilization_percent
        Highest consumption of table or index in percent of its capacity, over the window; None
        where there is no capacity to compare with.
    """

    throttle_events: float
    periods: int
    wanted_periods: int
    period_seconds: int
    samples: int
    minimum_samples: int
    utilization_percent: float | None = None


def utilization_percent(
    table: TableDescription, consumed: Mapping[tuple[str | None, Access], float], *, seconds: int
) -> float | None:
    """Highest consumption of table or index in percent of its capacity.

    Parameters
    ----------
    consumed
        Units in the whole time.
    seconds
        That time.
    """
    found = []
    for part in table.table_and_indexes:
        for access in Access:
            capacity = part.settings()[part.key(access.capacity)]
            if capacity and seconds:
                used = consumed.get((part.index_name, access), 0)
                found.append(100 * used / (capacity * seconds))
    return max(found, default=None)


def judge(calm: Calm, *, final: bool) -> Verification:
    """Whether the throttling is over.

    Parameters
    ----------
    final
        No later look: what would be `pending` is `failed` or `inconclusive`.
    """
    checks = _checks(calm)
    throttled = calm.throttle_events > 0
    full = calm.utilization_percent is not None and calm.utilization_percent >= 100
    enough = calm.periods >= calm.wanted_periods and calm.samples >= calm.minimum_samples
    span = duration(calm.periods * calm.period_seconds)
    traffic = f"traffic in {calm.samples} of {calm.wanted_periods} periods"
    if throttled:
        reason, final_verdict = f"{calm.throttle_events:.0f} throttle events", Verdict.FAILED
    elif full:
        reason = f"nothing throttled, but {calm.utilization_percent:.0f} % of capacity consumed"
        final_verdict = Verdict.FAILED
    else:
        reason, final_verdict = "nothing throttled", Verdict.INCONCLUSIVE
    reason = f"{reason} in {span}, {traffic}"
    if enough and not throttled and not full:
        return Verification(verdict=Verdict.PASSED, reason=reason, checks=checks)
    return Verification(
        verdict=final_verdict if final else Verdict.PENDING, reason=reason, checks=checks
    )


def _checks(calm: Calm) -> list[Check]:
    checks = [
        Check(
            name="throttle_events",
            observed=float(calm.throttle_events),
            threshold=0.0,
            samples=calm.periods,
            passed=calm.throttle_events <= 0 and calm.periods >= calm.wanted_periods,
        ),
        Check(
            name="periods_with_traffic",
            observed=float(calm.samples),
            threshold=float(calm.minimum_samples),
            samples=calm.periods,
            passed=calm.samples >= calm.minimum_samples,
        ),
    ]
    if calm.utilization_percent is not None:
        checks.append(
            Check(
                name="utilization_percent",
                observed=round(calm.utilization_percent, 1),
                threshold=100.0,
                samples=calm.periods,
                passed=calm.utilization_percent < 100,
            )
        )
    return checks


def undo_obstacles(
    calls: Iterable[PlannedCall],
    table: TableDescription,
    usage: Sequence[Usage],
    limits: DynamoDbThrottlingLimits,
) -> list[str]:
    """Why the way back is not safe now; empty when it is.

    Parameters
    ----------
    calls
        The way back: `after` is what was there before the run.
    usage
        Consumption of the recent look-back.
    """
    consumed = {u.key: u.consumed_per_second for u in usage}
    found = []
    for call in calls:
        if call.api == UPDATE_TABLE:
            found += _update_obstacles(call, table, consumed, limits)
        else:
            part, setting = _scaled(call, table)
            name = part.index_name if part else None
            access = Access.READ if setting == Access.READ.capacity else Access.WRITE
            what = f"{part.label if part else call.resource} {access.value.lower()} maximum"
            found += _tight(
                what, call.after["MaxCapacity"], consumed.get((name, access), 0), limits
            )
    return found


def _update_obstacles(
    call: PlannedCall,
    table: TableDescription,
    consumed: Mapping[tuple[str | None, Access], float],
    limits: DynamoDbThrottlingLimits,
) -> list[str]:
    found = _without_capacity(call, table)
    for part in table.table_and_indexes:
        for access in Access:
            for setting in (access.capacity, access.maximum):
                lower = call.after.get(part.key(setting))
                if lower is not None:
                    what = f"{part.label} {access.value.lower()}"
                    used = consumed.get((part.index_name, access), 0)
                    found += _tight(what, lower, used, limits)
        found += _rationed(call, part, limits)
    return found


def _without_capacity(call: PlannedCall, table: TableDescription) -> list[str]:
    """Indexes made since: back on provisioned capacity, each needs some and none was recorded."""
    if call.after.get(BILLING_MODE) != PROVISIONED:
        return []
    return [
        f"{part.label} has no capacity to go back to: switch the billing mode by hand"
        for part in table.table_and_indexes
        if call.after.get(part.key(Access.WRITE.capacity)) is None
    ]


def _tight(
    what: str, units: int, consumed_per_second: float, limits: DynamoDbThrottlingLimits
) -> list[str]:
    most = units * limits.target_utilization_percent / 100
    if consumed_per_second <= most:
        return []
    return [
        f"{what} uses {consumed_per_second:.1f} units/s, {units} would be left and may be used "
        f"to {limits.target_utilization_percent} % ({most:.1f})"
    ]


def _rationed(call: PlannedCall, part: TableOrIndex, limits: DynamoDbThrottlingLimits) -> list[str]:
    now = part.settings()
    pairs = [(call.after.get(part.key(name)), now[part.key(name)]) for name in CAPACITY]
    lowers = any(new is not None and old is not None and new < old for new, old in pairs)
    done = part.number_of_decreases_today
    if not lowers or done is None or done < limits.max_decreases_per_day:
        return []
    return [
        f"{part.label} was lowered {done} times today (UTC), {limits.max_decreases_per_day} are "
        "allowed: undo tomorrow"
    ]


def duration(seconds: int) -> str:
    """A time span for a person."""
    return f"{seconds // 60} min" if seconds >= 60 and seconds % 60 == 0 else f"{seconds} s"

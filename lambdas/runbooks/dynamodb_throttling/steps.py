"""Steps of `dynamodb_throttling`: read through resources, decide in policy, return a contract."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from lambdas.remediation import changes
from lambdas.remediation.contracts import (
    Change,
    ChildRequest,
    Decision,
    Json,
    Kind,
    Plan,
    Prepared,
    Run,
    Verdict,
    Verification,
    encode,
)
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.resources.dynamodb_table import (
    ACTIVE,
    DynamoDbTables,
    TableDescription,
    TableOrIndex,
)
from lambdas.remediation.resources.metrics import Metric, Metrics
from lambdas.remediation.resources.scalable_target import (
    ScalableTarget,
    ScalableTargets,
    resource_id,
)
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.remediation.verification import (
    Series,
    complete_periods,
    peak,
    period_start,
    periods_in,
    samples,
    total,
)
from lambdas.runbooks.dynamodb_throttling import policy
from lambdas.runbooks.dynamodb_throttling.policy import Access, Calm, Cause, Situation, Usage
from lambdas.runbooks.dynamodb_throttling.runbook import DynamoDbThrottlingLimits

RESOURCES = (DynamoDbTables, ScalableTargets)

# Statuses that pass by themselves; any other needs a person.
_PASSING = ("CREATING", "UPDATING")
_CAUSES = tuple(c for c in Cause if c is not Cause.UNKNOWN)
_TOP_KEYS = 3
# Contributor Insights rules of throttled (T) partition keys and of throttled partition and sort
# keys: Amazon DynamoDB Developer Guide, "Contributor Insights for DynamoDB: how it works".
_THROTTLED_KEY_RULES = ("-PKT-", "-SKT-")


@step(
    Role.OBSERVE,
    calls=[
        "application-autoscaling:DescribeScalableTargets",
        "cloudwatch:GetInsightRuleReport",
        "cloudwatch:GetMetricData",
        "dynamodb:DescribeContributorInsights",
        "dynamodb:DescribeTable",
    ],
    raises=[PrerequisiteNotMetError, ResourceBusyError, TargetNotFoundError, ThrottledError],
)
def prepare(
    *, run: Run, clock: Clock, tables: DynamoDbTables, targets: ScalableTargets, metrics: Metrics
) -> Prepared:
    """Find out why the table is throttled and decide what to raise; changes nothing."""
    table = tables.read(run.target["table_name"])
    _require_settled(table)
    scaled = targets.read(_resource_ids(table))
    limits = DynamoDbThrottlingLimits(**run.limits)
    now = clock.now()
    situation = Situation(
        table=table,
        targets=scaled,
        usage=_usage(table, metrics, limits, now),
        limits=limits,
        requested_ceiling=run.parameters.get("max_capacity_units"),
        allow_on_demand=run.options.get("allow_on_demand", False),
        now=now,
    )
    plan = policy.decide(situation)
    if plan.evidence["cause"] == Cause.KEY_RANGE:
        keys = _hot_keys(run, plan, tables, metrics, now)
        plan = dataclasses.replace(plan, evidence={**plan.evidence, **keys})
    if plan.decision is Decision.CHANGE and run.options.get("back_up_first"):
        backup = ChildRequest(
            runbook="back_up_dynamodb_table", target=run.target, reason=f"before run {run.id}"
        )
        plan = dataclasses.replace(plan, child=backup)
    return Prepared(
        snapshot={"table": encode(table), "scalable_targets": encode(list(scaled))}, plan=plan
    )


@step(
    Role.CHANGE,
    calls=[
        "application-autoscaling:DescribeScalableTargets",
        "application-autoscaling:RegisterScalableTarget",
        "dynamodb:DescribeTable",
        "dynamodb:UpdateTable",
    ],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def bump_capacity(
    *, plan: Plan, clock: Clock, tables: DynamoDbTables, targets: ScalableTargets
) -> Change:
    """Raise capacity to the planned values; never lowers it, never passes the ceiling."""
    with _still_there():
        return changes.apply(plan.calls, (tables, targets), clock.now)


@step(
    Role.OBSERVE,
    calls=["application-autoscaling:DescribeScalableTargets", "dynamodb:DescribeTable"],
    raises=[ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def check_table(
    *, run: Run, plan: Plan, attempt: Attempt, tables: DynamoDbTables, targets: ScalableTargets
) -> Verification:
    """Look whether table and indexes are ACTIVE with the planned values; changes nothing."""
    with _still_there():
        return _as_planned(run, plan, attempt, tables, targets)


@step(
    Role.OBSERVE,
    calls=[
        "application-autoscaling:DescribeScalableTargets",
        "cloudwatch:GetMetricData",
        "dynamodb:DescribeTable",
    ],
    raises=[ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def verify(
    *,
    run: Run,
    plan: Plan,
    change: Change | None,
    attempt: Attempt,
    clock: Clock,
    tables: DynamoDbTables,
    targets: ScalableTargets,
    metrics: Metrics,
) -> Verification:
    """Look whether throttling has stopped, or for an undo whether the old values are back.

    Never counts silence as healed: what was throttled must have had traffic since the change.
    """
    with _still_there():
        if run.kind is Kind.UNDO:
            return _as_planned(run, plan, attempt, tables, targets)
        table = tables.read(run.target["table_name"])
    limits = DynamoDbThrottlingLimits(**run.limits)
    calm = _calm(
        table,
        plan,
        metrics,
        limits,
        now=clock.now(),
        after=change.applied_at if change else run.execution.started_at,
        seconds=limits.verify_window_seconds,
    )
    return policy.judge(calm, final=attempt.final)


@step(
    Role.OBSERVE,
    calls=["cloudwatch:GetMetricData", "dynamodb:DescribeTable"],
    raises=[ThrottledError],
)
def watch_hold(
    *,
    run: Run,
    plan: Plan,
    change: Change | None,
    clock: Clock,
    tables: DynamoDbTables,
    metrics: Metrics,
) -> Verification:
    """Look whether anything was throttled since the last look; changes nothing."""
    try:
        table = tables.read(run.target["table_name"])
    except TargetNotFoundError as error:
        return Verification(verdict=Verdict.INCONCLUSIVE, reason=str(error))
    limits = DynamoDbThrottlingLimits(**run.limits)
    calm = _calm(
        table,
        plan,
        metrics,
        limits,
        now=clock.now(),
        after=change.applied_at if change else run.execution.started_at,
        seconds=limits.hold_interval_seconds,
        # CloudWatch is minutes late: the end of the window of the look before is read again.
        again_seconds=limits.verify_window_seconds,
    )
    # Throttling decides here: utilization was looked at before, and a long hold has quiet times.
    calm = dataclasses.replace(
        calm,
        utilization_percent=None,
        minimum_samples=min(calm.minimum_samples, calm.wanted_periods),
    )
    return policy.judge(calm, final=True)


@step(
    Role.OBSERVE,
    calls=["cloudwatch:GetMetricData", "dynamodb:DescribeTable"],
    raises=[PrerequisiteNotMetError, ResourceBusyError, TargetNotFoundError, ThrottledError],
)
def check_undo(
    *, run: Run, plan: Plan, clock: Clock, tables: DynamoDbTables, metrics: Metrics
) -> None:
    """Refuse a way back that recent consumption or the decrease quota does not allow.

    `plan` is the way back: its `after` is what was there before the run. Changes nothing.
    """
    table = tables.read(run.target["table_name"])
    _require_settled(table)
    limits = DynamoDbThrottlingLimits(**run.limits)
    usage = _usage(table, metrics, limits, clock.now())
    obstacles = policy.undo_obstacles(plan.calls, table, usage, limits)
    if obstacles:
        raise PrerequisiteNotMetError(
            f"table {table.table_name}: not taken back: {'; '.join(obstacles)}"
        )


@step(
    Role.CHANGE,
    calls=[
        "application-autoscaling:DescribeScalableTargets",
        "application-autoscaling:RegisterScalableTarget",
        "dynamodb:DescribeTable",
        "dynamodb:UpdateTable",
    ],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(
    *, plan: Plan, clock: Clock, tables: DynamoDbTables, targets: ScalableTargets
) -> Change:
    """Take back the calls that were made, newest first; never touches anything else."""
    try:
        return changes.restore(plan.calls, (tables, targets), clock.now)
    except TargetNotFoundError as error:
        raise RollbackFailedError(f"cannot be taken back: {error}") from error


@contextlib.contextmanager
def _still_there() -> Iterator[None]:
    """What was there when the run planned and is gone now was changed by someone else."""
    try:
        yield
    except TargetNotFoundError as error:
        raise ConcurrentChangeError(f"{error}; it was there when this run began") from error


def _require_settled(table: TableDescription) -> None:
    for part in table.table_and_indexes:
        if part.status in _PASSING:
            raise ResourceBusyError(
                f"table {table.table_name}: {part.label} is {part.status}, look again later"
            )
        if part.status != ACTIVE:
            raise PrerequisiteNotMetError(
                f"table {table.table_name}: {part.label} is {part.status}, it must be {ACTIVE}"
            )


def _resource_ids(table: TableDescription) -> list[str]:
    return [resource_id(table.table_name, p.index_name) for p in table.table_and_indexes]


def _as_planned(
    run: Run, plan: Plan, attempt: Attempt, tables: DynamoDbTables, targets: ScalableTargets
) -> Verification:
    table = tables.read(run.target["table_name"])
    scaled: Sequence[ScalableTarget] = targets.read(_resource_ids(table))
    open_points = policy.unsettled(plan.calls, table, scaled)
    if not open_points:
        return Verification(verdict=Verdict.PASSED, reason="table and indexes are as planned")
    verdict = Verdict.FAILED if attempt.final else Verdict.PENDING
    return Verification(verdict=verdict, reason="; ".join(open_points))


def _metric(table: TableDescription, part: TableOrIndex, name: str) -> Metric:
    # The table's own metrics leave its indexes out, so each is asked for by its dimensions.
    dimensions = [("TableName", table.table_name)]
    if part.index_name is not None:
        dimensions.append(("GlobalSecondaryIndexName", part.index_name))
    return Metric("AWS/DynamoDB", name, tuple(dimensions))


def _throttle_events(table: TableDescription, part: TableOrIndex, access: Access) -> Metric:
    return _metric(table, part, f"{access.value}ThrottleEvents")


def _by_cause(table: TableDescription, part: TableOrIndex, access: Access, cause: Cause) -> Metric:
    return _metric(table, part, f"{access.value}{cause.value}ThrottleEvents")


def _consumed(table: TableDescription, part: TableOrIndex, access: Access) -> Metric:
    return _metric(table, part, f"Consumed{access.value}CapacityUnits")


def _usage(
    table: TableDescription, metrics: Metrics, limits: DynamoDbThrottlingLimits, now: datetime
) -> tuple[Usage, ...]:
    """Throttling and consumption of the look-back, the period that is not over yet included."""
    period = limits.metric_period_seconds
    held = [(part, access) for part in table.table_and_indexes for access in Access]
    wanted = [
        metric
        for part, access in held
        for metric in (
            _throttle_events(table, part, access),
            _consumed(table, part, access),
            *(_by_cause(table, part, access, cause) for cause in _CAUSES),
        )
    ]
    series = metrics.read(
        wanted,
        start=period_start(now - timedelta(seconds=limits.look_back_seconds), period),
        end=period_start(now, period) + timedelta(seconds=period),
        period_seconds=period,
    )
    return tuple(
        Usage(
            index_name=part.index_name,
            access=access,
            throttle_events=total([series[_throttle_events(table, part, access)]]),
            by_cause={c: total([series[_by_cause(table, part, access, c)]]) for c in _CAUSES},
            consumed_per_second=peak(series[_consumed(table, part, access)]) / period,
        )
        for part, access in held
    )


def _calm(
    table: TableDescription,
    plan: Plan,
    metrics: Metrics,
    limits: DynamoDbThrottlingLimits,
    *,
    now: datetime,
    after: datetime,
    seconds: int,
    again_seconds: int = 0,
) -> Calm:
    """Measure the last complete periods of which no part was before the change.

    Throttling counts in `again_seconds` before them too, traffic does not.
    """
    period = limits.metric_period_seconds
    wanted = periods_in(seconds, period)
    # Rounded down: what is read again was already found calm, the period before it was not.
    reach = max(wanted, (seconds + again_seconds) // period) * period
    periods = complete_periods(now, period_seconds=period, seconds=reach, after=after)
    recent = periods[-wanted:]
    held = [(part, access) for part in table.table_and_indexes for access in Access]
    throttles = [_throttle_events(table, part, access) for part, access in held]
    consumed = {(p.index_name, access): _consumed(table, p, access) for p, access in held}
    series: Mapping[Metric, Series] = {}
    if periods:
        series = metrics.read(
            [*throttles, *consumed.values()],
            start=periods[0],
            end=periods[-1] + timedelta(seconds=period),
            period_seconds=period,
        )
    throttled = policy.throttled_in(plan.evidence) & set(consumed) or set(consumed)
    return Calm(
        throttle_events=total((series.get(m, {}) for m in throttles), periods),
        periods=len(periods),
        wanted_periods=wanted,
        period_seconds=period,
        samples=samples((series.get(consumed[key], {}) for key in throttled), recent),
        minimum_samples=limits.verify_minimum_samples,
        utilization_percent=policy.utilization_percent(
            table,
            {key: total([series.get(m, {})], periods) for key, m in consumed.items()},
            seconds=len(periods) * period,
        ),
    )


def _hot_keys(
    run: Run, plan: Plan, tables: DynamoDbTables, metrics: Metrics, now: datetime
) -> dict[str, Json]:
    """Busiest throttled keys, where the platform allows reading them and they are counted.

    Evidence for a person, not needed for the decision: no failure here stops the run.
    """
    if not run.options.get("allow_contributor_insights", False):
        return {"contributor_insights": "not read: the option allow_contributor_insights is off"}
    try:
        found = [
            {"index_name": index_name, "rule": rule, "keys": list(c.keys), "count": c.count}
            for index_name in _indexes_with_hot_keys(plan)
            for rule in tables.contributor_insights_rules(run.target["table_name"], index_name)
            if any(kind in rule for kind in _THROTTLED_KEY_RULES)
            for c in metrics.contributors(
                rule,
                start=now - timedelta(seconds=run.limits["look_back_seconds"]),
                end=now,
                period_seconds=max(60, run.limits["metric_period_seconds"]),
                count=_TOP_KEYS,
            )
        ]
    except Exception as error:
        return {"contributor_insights": f"not readable: {error}"}
    if not found:
        return {"contributor_insights": "not enabled, or no throttled key counted yet"}
    return {"contributor_insights": "read", "hot_keys": found}


def _indexes_with_hot_keys(plan: Plan) -> list[str | None]:
    hot = [
        t["index_name"]
        for t in plan.evidence["throttled"]
        if Cause.KEY_RANGE.value in t["throttle_events"]
    ]
    return list(dict.fromkeys(hot))

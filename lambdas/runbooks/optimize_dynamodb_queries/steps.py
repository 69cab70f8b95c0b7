"""Steps of `optimize_dynamodb_queries`: read through resources, decide in policy."""

from datetime import datetime, timedelta

from lambdas.remediation import changes
from lambdas.remediation.contracts import (
    Change,
    Json,
    Kind,
    Mode,
    Plan,
    Prepared,
    Run,
    Verdict,
    Verification,
    decode,
    encode,
)
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.resources.contributor_insights import ContributorInsights, Insights
from lambdas.remediation.resources.scalable_target import ScalableTargets, resource_id
from lambdas.remediation.resources.table_indexes import TableIndexes
from lambdas.remediation.resources.table_requests import Requests, TableRequests
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.remediation.verification import complete_periods
from lambdas.runbooks.optimize_dynamodb_queries import policy
from lambdas.runbooks.optimize_dynamodb_queries.policy import Situation
from lambdas.runbooks.optimize_dynamodb_queries.runbook import (
    OptimizeDynamoDbQueriesLimits,
    OptimizeDynamoDbQueriesParameters,
)

RESOURCES = (ContributorInsights, TableIndexes)
_DESCRIBE = ["dynamodb:DescribeContributorInsights", "dynamodb:DescribeTable"]


@step(
    Role.OBSERVE,
    calls=[
        *_DESCRIBE,
        "application-autoscaling:DescribeScalableTargets",
        "cloudwatch:GetInsightRuleReport",
        "cloudwatch:GetMetricData",
    ],
    raises=[
        InvalidRequestError,
        PrerequisiteNotMetError,
        ResourceBusyError,
        TargetNotFoundError,
        ThrottledError,
    ],
)
def prepare(
    *,
    run: Run,
    clock: Clock,
    insights: ContributorInsights,
    indexes: TableIndexes,
    scaling: ScalableTargets,
    requests: TableRequests,
) -> Prepared:
    """Look at keys, indexes and latency, and plan what was asked for; changes nothing."""
    name, now = run.target["table_name"], clock.now()
    asked = decode(OptimizeDynamoDbQueriesParameters, run.parameters, "parameters")
    table, found = indexes.read(name), insights.read(name)
    measured = _requests(run, requests, now)
    report: dict[str, Json] = {
        "requests": encode(measured),
        "throttled_keys": _throttled_keys(run, found, requests, now),
    }
    plan = policy.decide(
        Situation(
            table=table,
            insights=found,
            asked=asked,
            limits=OptimizeDynamoDbQueriesLimits(**run.limits),
            scales_by_itself=bool(asked.index and scaling.read([resource_id(name, None)])),
            observing=run.mode is Mode.OBSERVE,
            report=report,
        )
    )
    return Prepared(
        snapshot={"insights": encode(found), "indexes": encode(table.indexes)}, plan=plan
    )


@step(
    Role.CHANGE,
    calls=[
        *_DESCRIBE,
        "dynamodb:UpdateContributorInsights",
        "dynamodb:UpdateTable",
        # DynamoDB makes its own role, in the caller's name, where insights are first switched on.
        "iam:CreateServiceLinkedRole@contributor-insights",
    ],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def change_table(
    *, plan: Plan, clock: Clock, insights: ContributorInsights, indexes: TableIndexes
) -> Change:
    """Begin what was planned, unless it is there; never changes another index, nor an item."""
    return changes.apply(plan.calls, (insights, indexes), clock.now)


@step(Role.OBSERVE, calls=_DESCRIBE, raises=[TargetNotFoundError, ThrottledError])
def check_table(
    *, run: Run, plan: Plan, attempt: Attempt, insights: ContributorInsights, indexes: TableIndexes
) -> Verification:
    """Look whether DynamoDB has got there; changes nothing."""
    return _judged(run, plan, insights, indexes, final=attempt.final)


@step(
    Role.OBSERVE,
    calls=[*_DESCRIBE, "cloudwatch:GetMetricData"],
    raises=[TargetNotFoundError, ThrottledError],
)
def verify(
    *,
    run: Run,
    plan: Plan,
    change: Change | None,
    attempt: Attempt,
    clock: Clock,
    insights: ContributorInsights,
    indexes: TableIndexes,
    requests: TableRequests,
) -> Verification:
    """Look whether everything is as planned, and report the latency since; changes nothing."""
    judged = _judged(run, plan, insights, indexes, final=attempt.final)
    if judged.verdict is not Verdict.PASSED or run.kind is Kind.UNDO or change is None:
        return judged
    since = _requests(run, requests, clock.now(), after=change.applied_at)
    return policy.with_report(judged, plan.evidence["requests"], since)


@step(Role.OBSERVE, calls=_DESCRIBE, raises=[TargetNotFoundError, ThrottledError])
def watch_hold(
    *, run: Run, plan: Plan, insights: ContributorInsights, indexes: TableIndexes
) -> Verification:
    """Look whether everything is still there; changes nothing. Not used unless a limit asks."""
    return _judged(run, plan, insights, indexes, final=True)


@step(
    Role.OBSERVE,
    calls=["cloudwatch:GetMetricData"],
    raises=[PrerequisiteNotMetError, ThrottledError],
)
def check_undo(*, run: Run, plan: Plan, clock: Clock, requests: TableRequests) -> None:
    """Refuse to delete an index that queries read: they would fail; changes nothing."""
    table_name, index_name = run.target["table_name"], policy.index_to_delete(plan)
    if index_name is None:
        return
    start, end = _window(run, clock.now())
    read = requests.index_read_units(
        table_name,
        index_name,
        start=start,
        end=end,
        period_seconds=run.limits["metric_period_seconds"],
    )
    if read > 0:
        raise PrerequisiteNotMetError(
            f"index {index_name} of {table_name} was read in the last "
            f"{run.limits['look_back_seconds']} s ({read:g} read units); deleting it would break "
            "those queries: move them off it first"
        )


@step(
    Role.CHANGE,
    calls=[*_DESCRIBE, "dynamodb:UpdateContributorInsights", "dynamodb:UpdateTable"],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(
    *, plan: Plan, clock: Clock, insights: ContributorInsights, indexes: TableIndexes
) -> Change:
    """Delete the index of this run and switch insights back; never touches another index."""
    return changes.restore(plan.calls, (insights, indexes), clock.now)


def _judged(
    run: Run, plan: Plan, insights: ContributorInsights, indexes: TableIndexes, *, final: bool
) -> Verification:
    name = run.target["table_name"]
    return policy.judge(plan, insights.read(name), indexes.read(name), final=final)


def _requests(
    run: Run, requests: TableRequests, now: datetime, *, after: datetime | None = None
) -> Requests | None:
    """Latency and consumption of the look-back time; None without one complete period."""
    start, end = _window(run, now, after=after)
    if start == end:
        return None
    return requests.read(
        run.target["table_name"],
        start=start,
        end=end,
        period_seconds=run.limits["metric_period_seconds"],
    )


def _window(run: Run, now: datetime, *, after: datetime | None = None) -> tuple[datetime, datetime]:
    period = run.limits["metric_period_seconds"]
    periods = complete_periods(
        now, period_seconds=period, seconds=run.limits["look_back_seconds"], after=after
    )
    if not periods:
        return now, now
    return periods[0], periods[-1] + timedelta(seconds=period)


def _throttled_keys(run: Run, found: Insights, requests: TableRequests, now: datetime) -> Json:
    """Digests of the keys throttled most, in observe mode; or why there are none.

    Evidence for a person, not needed for the decision: no failure here stops the run.
    """
    if run.mode is not Mode.OBSERVE:
        return "read in observe mode only"
    if not found.rules:
        return "Contributor Insights does not count them"
    minute = now.replace(second=0, microsecond=0)
    try:
        return requests.throttled_keys(
            found.rules,
            table_arn=run.target_arn,
            start=minute - timedelta(seconds=max(60, run.limits["look_back_seconds"])),
            end=minute,
        )
    except Exception as error:
        return f"not readable: {type(error).__name__}"

"""Decisions of `api_gateway_errors`: pure functions, no AWS call, no clock, no environment.

A stage answers with 5XX for many reasons, and one run tries one remedy: the one that the findings
single out. In this order:

1. CloudFormation deploys one of the platform's stacks: hands off.
2. A canary that is new and takes enough requests to explain the errors: off.
3. The stage serves a new deployment, and no function behind it fails: back to the last good one.
4. A function behind it fails, and was released or moved lately: its own runbook.
5. A table behind it is throttled: its own runbook.

Where stage and function are both new, the function's own errors decide between 3 and 4. Whatever
is left, or points two ways, goes to a person with the evidence. An unknown finding is never read as
a good one.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from lambdas.remediation.contracts import (
    ChildRequest,
    Decision,
    Json,
    Plan,
    PlannedCall,
    Verification,
    encode,
)
from lambdas.remediation.errors import PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.ledger import Release
from lambdas.remediation.resources.api_stage import (
    CANARY_SETTINGS,
    DEPLOYMENT_ID,
    Canary,
    Stage,
    drop_canary,
    move,
)
from lambdas.remediation.resources.stack_events import StackOperation
from lambdas.remediation.verification import Series, rate_checks, samples, total, verdict
from lambdas.runbooks.api_gateway_errors.runbook import ApiGatewayErrorsLimits

UNKNOWN = "unknown"


class Traffic(Frozen):
    """Requests of the stage in some periods, and how many were answered with 5XX.

    Parameters
    ----------
    samples
        Periods with at least one request.
    bad_periods
        Periods that the alarm counts as bad: enough requests, and too many of them failed.
    good_since
        Periods after the last bad one that had enough requests and were good.
    """

    errors: float = 0
    requests: float = 0
    samples: int = 0
    bad_periods: tuple[datetime, ...] = ()
    good_since: int = 0

    @property
    def error_rate_percent(self) -> float:
        """Requests answered with 5XX, in percent; 0 without any."""
        return 100 * self.errors / self.requests if self.requests else 0.0


def traffic(
    errors: Series, requests: Series, periods: Sequence[datetime], limits: ApiGatewayErrorsLimits
) -> Traffic:
    """Add up the periods; a missing value counts as zero."""
    measured = [p for p in periods if requests.get(p, 0) >= limits.minimum_requests]
    bad = tuple(
        p for p in measured if 100 * errors.get(p, 0) > limits.error_rate_percent * requests[p]
    )
    return Traffic(
        errors=total([errors], periods),
        requests=total([requests], periods),
        samples=samples([requests], periods),
        bad_periods=bad,
        good_since=sum(p > bad[-1] for p in measured) if bad else 0,
    )


def burst_of(seen: Traffic, limits: ApiGatewayErrorsLimits) -> tuple[datetime, ...]:
    """The last bad periods that one alarm can have seen: what is wrong now, not an hour ago.

    Causes are measured in these alone. The look-back may hold an older incident with another
    cause, healed since.
    """
    if not seen.bad_periods:
        return ()
    window = timedelta(seconds=limits.alarm_evaluation_periods * limits.metric_period_seconds)
    return tuple(p for p in seen.bad_periods if p > seen.bad_periods[-1] - window)


class Health(StrEnum):
    """What a function's own metrics say of it."""

    FAILING = "failing"
    HEALTHY = "healthy"
    # Not read, too few invocations to tell, or throttled: Lambda counts that as no error.
    UNCLEAR = "unclear"


class FunctionFinding(Frozen):
    """What was found of a function behind the API.

    Parameters
    ----------
    version
        What its alias serves; None without an alias, or if it could not be read.
    rolling_out
        Whether the alias gives a second version a share of the traffic.
    release
        What the ledger knows about it; None if it could not be read.
    in_hands_of
        The open run of `lambda_errors` on it. What that run has taken back already is no longer new
        to the ledger, and only proven when that run is.
    errors, invocations, throttles
        In the burst of errors of the stage; None if they could not be read.
    """

    function_name: str
    version: str | None = None
    rolling_out: bool = False
    release: Release | None = None
    in_hands_of: str | None = None
    errors: float | None = None
    invocations: float | None = None
    throttles: float | None = None

    @property
    def released(self) -> bool:
        """Whether it was released lately, is being released, or was moved by a run of ours."""
        known = self.release
        if self.in_hands_of:
            return True
        return self.rolling_out or (known is not None and (known.recent or bool(known.by_run)))

    def health(self, limits: ApiGatewayErrorsLimits) -> Health:
        """Judge the function by the last periods in which the stage was bad.

        Notes
        -----
        A function that was not invoked at all did not fail: a broken integration never reaches it.
        """
        if self.errors is None or self.invocations is None or self.throttles is None:
            return Health.UNCLEAR
        limit = limits.error_rate_percent
        if 100 * self.errors > limit * self.invocations:
            enough = self.invocations >= limits.minimum_requests
            return Health.FAILING if enough else Health.UNCLEAR
        if 100 * self.throttles > limit * (self.invocations + self.throttles):
            return Health.UNCLEAR
        return Health.HEALTHY


class Situation(Frozen):
    """Everything the decision rests on. What could not be read is None, and named in `unknown`.

    Parameters
    ----------
    arn
        ARN of the stage.
    canary_made_at
        When the canary's deployment was made.
    release
        What the ledger knows about the deployment that the stage serves.
    previous_exists
        Whether the release's `previous_good` can still be deployed.
    traffic, burst
        Requests in the look-back, and in the last bad periods of it.
    throttled
        Throttle events by table.
    operations
        Last operation of each of the platform's stacks, if it runs or ended within the look-back.
    unknown
        What could not be read, and why.
    """

    arn: str
    stage: Stage
    traffic: Traffic | None
    burst: Traffic | None = None
    release: Release | None = None
    previous_exists: bool | None = None
    canary_made_at: datetime | None = None
    functions: tuple[FunctionFinding, ...] = ()
    throttled: Mapping[str, float] | None = None
    operations: tuple[StackOperation, ...] = ()
    unknown: tuple[str, ...] = ()
    limits: ApiGatewayErrorsLimits
    now: datetime

    @property
    def since(self) -> datetime:
        """Since when a release is recent."""
        return self.now - timedelta(seconds=self.limits.release_look_back_seconds)

    def with_health(self, *wanted: Health) -> list[FunctionFinding]:
        """Functions that are in one of these conditions."""
        return [f for f in self.functions if f.health(self.limits) in wanted]


def decide(situation: Situation) -> Plan:
    """Choose the one remedy that the findings single out, or hand over.

    Raises
    ------
    PrerequisiteNotMetError
        The stage had no bad period during the look-back, or it is over; the message has the
        numbers.
    """
    if situation.traffic is None:
        return _hand_over(situation, "Whether the stage answers with errors could not be read.")
    over = situation.traffic.good_since >= situation.limits.alarm_evaluation_periods
    if over or not situation.traffic.bad_periods:
        raise PrerequisiteNotMetError(_calm(situation, situation.traffic))
    for remedy in (_hands_off, _canary_off, _stage_back, _function, _table):
        plan = remedy(situation)
        if plan is not None:
            return plan
    return _hand_over(situation, f"No one cause stands out: {'; '.join(_leads(situation))}.")


def _hands_off(situation: Situation) -> Plan | None:
    running = [o for o in situation.operations if o.running]
    if not running:
        return None
    names = ", ".join(f"{o.stack_name} ({o.status})" for o in running)
    return _hand_over(
        situation,
        f"A deployment is running: {names}. Nothing is changed under it; look again when it is "
        "over.",
    )


def canary_is_recent(situation: Situation) -> bool:
    """Whether the canary was made, or its share changed, within the look-back.

    Notes
    -----
    The stage tells only when anything of it was changed last. Where its deployment did not change,
    that is taken as the canary.
    """
    made, updated = situation.canary_made_at, situation.stage.last_updated_at
    if made is not None and made >= situation.since:
        return True
    same_deployment = (
        situation.release is not None and situation.release.known and not situation.release.recent
    )
    return same_deployment and updated is not None and updated >= situation.since


def canary_explains(canary: Canary, seen: Traffic, limits: ApiGatewayErrorsLimits) -> bool:
    """Whether the canary's share of the requests can have caused that many errors.

    Notes
    -----
    Requests are drawn at random: three standard deviations above the share are still chance. The
    errors that the alarm puts up with may have come from elsewhere.
    """
    share = canary.percent_traffic / 100
    if share <= 0:
        return False
    expected = share * seen.requests
    chance = 3 * math.sqrt(expected * (1 - min(share, 1)))
    others = limits.error_rate_percent / 100 * seen.requests
    return seen.errors <= expected + chance + others


def _canary_off(situation: Situation) -> Plan | None:
    canary, seen = situation.stage.canary, situation.burst
    if canary is None or seen is None or not canary_is_recent(situation):
        return None
    if not canary_explains(canary, seen, situation.limits):
        return None
    what = (
        f"A new canary takes {canary.percent_traffic:g} % of the requests "
        f"(deployment {canary.deployment_id})"
    )
    if canary.overrides:
        return _hand_over(
            situation,
            f"{what}. It overrides stage variables ({', '.join(canary.overrides)}), whose values "
            "no record keeps, so a run could not bring it back: turn it off by hand, by the patch "
            f"op=remove,path=/{CANARY_SETTINGS}.",
        )
    return _change(situation, f"{what}: turn it off.", drop_canary(situation.arn, canary))


def _stage_back(situation: Situation) -> Plan | None:
    release, stage = situation.release, situation.stage
    if release is None or not release.recent or release.previous_good is None:
        return None
    if len(situation.with_health(Health.HEALTHY)) < len(situation.functions):
        return None
    good = release.previous_good
    what = f"The stage serves deployment {stage.deployment_id} since {_since(release)}, and "
    what += "no function behind it fails." if situation.functions else "there is no function to."
    if stage.auto_deploy:
        return _hand_over(
            situation,
            f"{what} AutoDeploy is on, so API Gateway lets nobody move the stage: put the API back "
            f"to what deployment {good} was, or turn AutoDeploy off.",
        )
    if situation.previous_exists is None:
        return _hand_over(situation, f"{what} Whether deployment {good} exists is unknown.")
    if not situation.previous_exists:
        return _hand_over(
            situation,
            f"{what} Deployment {good}, the last good one, is deleted: deploy the API as it was.",
        )
    reason = f"{what} Go back to deployment {good}, the last one that was seen good."
    return _change(situation, reason, move(situation.arn, stage, good))


def _function(situation: Situation) -> Plan | None:
    suspects = [f for f in situation.with_health(Health.FAILING) if f.released]
    if not suspects:
        return None
    newest = _newest(suspects)
    if newest is None:
        names = ", ".join(f.function_name for f in suspects)
        return _hand_over(situation, f"{names} fail, were all released, and no one came last.")
    others = [f.function_name for f in suspects if f is not newest]
    also = f" ({', '.join(others)} too, but released before)" if others else ""
    reason = f"Function {_failure(newest)} and was released lately{also}: leave it to lambda_errors"
    target = {"function_name": newest.function_name}
    return _delegate(situation, reason, "lambda_errors", target)


def _newest(suspects: Sequence[FunctionFinding]) -> FunctionFinding | None:
    """The one that was released last; None if that is not clear."""
    if len(suspects) == 1:
        return suspects[0]
    # A version that the ledger has not seen yet is younger than all that it has.
    unseen = [f for f in suspects if f.release is None or f.release.since is None]
    if unseen:
        return unseen[0] if len(unseen) == 1 and unseen[0].release is not None else None
    times = [f.release.since for f in suspects if f.release and f.release.since]
    last = [f for f in suspects if f.release and f.release.since == max(times)]
    return last[0] if len(last) == 1 else None


def _table(situation: Situation) -> Plan | None:
    counts = {name: n for name, n in (situation.throttled or {}).items() if n > 0}
    if not counts:
        return None
    name = max(counts, key=lambda n: counts[n])
    others = [f"{n} {counts[n]:.0f}" for n in counts if n != name]
    also = f" (also {', '.join(others)})" if others else ""
    reason = f"Table {name} throttled {counts[name]:.0f} requests{also}: leave it to "
    target = {"table_name": name}
    return _delegate(situation, f"{reason}dynamodb_throttling", "dynamodb_throttling", target)


def _change(situation: Situation, reason: str, call: PlannedCall) -> Plan:
    return Plan(
        decision=Decision.CHANGE,
        reason=f"{_headline(situation)} {reason}",
        calls=[call],
        evidence=evidence(situation),
    )


def _delegate(situation: Situation, reason: str, runbook: str, target: dict[str, str]) -> Plan:
    said = f"{_headline(situation)} {reason}."
    return Plan(
        decision=Decision.DELEGATE,
        reason=said,
        child=ChildRequest(runbook=runbook, target=target, reason=said),
        evidence=evidence(situation),
    )


def _hand_over(situation: Situation, reason: str) -> Plan:
    return Plan(
        decision=Decision.HAND_OVER,
        reason=f"{_headline(situation)} {reason}".strip(),
        evidence=evidence(situation),
    )


def _headline(situation: Situation) -> str:
    seen = situation.traffic
    if seen is None:
        return ""
    span = duration(situation.limits.look_back_seconds)
    return (
        f"{seen.errors:.0f} of {seen.requests:.0f} requests in {span} were answered with 5XX "
        f"({seen.error_rate_percent:.1f} %)."
    )


def _calm(situation: Situation, seen: Traffic) -> str:
    limits = situation.limits
    name = situation.arn.rpartition("/")[2]
    if seen.bad_periods:
        return (
            f"stage {name}: the errors are over, {seen.good_since} periods with enough requests "
            f"were good since {seen.bad_periods[-1]:%H:%M} UTC, so there is nothing to heal"
        )
    return (
        f"stage {name}: no period of the last {duration(limits.look_back_seconds)} had "
        f"{limits.minimum_requests} requests and more than {limits.error_rate_percent} % of them "
        f"answered with 5XX ({seen.errors:.0f} of {seen.requests:.0f} in all), so there is nothing "
        "to heal"
    )


def _since(release: Release) -> str:
    return f"{release.since:%H:%M} UTC" if release.since else "a few minutes"


def _failure(function: FunctionFinding) -> str:
    return (
        f"{function.function_name} fails ({function.errors or 0:.0f} of "
        f"{function.invocations or 0:.0f} invocations)"
    )


def _leads(situation: Situation) -> list[str]:
    """What each finding says, for the person who takes over."""
    found = [_stage_lead(situation)]
    if situation.stage.canary is not None:
        recent = canary_is_recent(situation)
        found.append(
            f"the canary ({situation.stage.canary.percent_traffic:g} % of requests) "
            + ("cannot explain that many errors" if recent else "is not known to be new")
        )
    for function in situation.functions:
        health = function.health(situation.limits)
        if health is Health.FAILING:
            found.append(f"function {_failure(function)}, but no new release of it is known")
        elif health is Health.UNCLEAR:
            found.append(f"whether function {function.function_name} fails is unclear")
    if situation.functions and not situation.with_health(Health.FAILING, Health.UNCLEAR):
        found.append("no function behind it fails")
    if situation.throttled is not None:
        found.append("no table behind it is throttled")
    return found + [f"not readable: {what}" for what in situation.unknown]


def _stage_lead(situation: Situation) -> str:
    release = situation.release
    if release is None:
        return "whether the stage's deployment is new is unknown"
    if not release.known:
        return "the ledger has not seen this stage yet, so nothing is known to be new"
    if not release.recent:
        moved = f" (run {release.by_run} moved it there)" if release.by_run else ""
        return f"the stage's deployment is not new{moved}"
    if release.previous_good is None:
        return "the stage's deployment is new, and none before it was seen good"
    return "the stage's deployment is new"


def evidence(situation: Situation) -> dict[str, Json]:
    """Every finding, short; what could not be read is `unknown`."""
    stage, seen, tables = situation.stage, situation.traffic, situation.throttled
    found: dict[str, Json] = {
        "stage": {
            "deployment_id": stage.deployment_id,
            "last_updated_at": encode(stage.last_updated_at),
            "canary": stage.canary.settings if stage.canary else None,
            "auto_deploy": stage.auto_deploy,
            **_released(situation.release),
        },
        "requests": UNKNOWN
        if seen is None
        else {
            "answered_with_5xx": round(seen.errors),
            "all": round(seen.requests),
            "bad_periods": len(seen.bad_periods),
            "look_back_seconds": situation.limits.look_back_seconds,
        },
        "functions": [
            {
                "function_name": f.function_name,
                "health": f.health(situation.limits).value,
                "errors": _known(f.errors),
                "invocations": _known(f.invocations),
                "throttles": _known(f.throttles),
                "version": f.version,
                "rolling_out": f.rolling_out,
                "in_hands_of": f.in_hands_of,
                **_released(f.release),
            }
            for f in situation.functions
        ],
        "throttle_events": UNKNOWN
        if tables is None
        else {name: round(count) for name, count in tables.items()},
        "stack_operations": encode(list(situation.operations)),
    }
    return found | ({UNKNOWN: list(situation.unknown)} if situation.unknown else {})


def _known(number: float | None) -> Json:
    return UNKNOWN if number is None else round(number)


def _released(release: Release | None) -> dict[str, Json]:
    if release is None:
        return {"release": UNKNOWN}
    if not release.known:
        return {"release": "never seen"}
    return {
        "release": "recent" if release.recent else "not recent",
        "since": encode(release.since),
        "previous_good": release.previous_good,
        "by_run": release.by_run,
    }


def duration(seconds: int) -> str:
    """A time span for a person."""
    return f"{seconds // 60} min" if seconds >= 60 and seconds % 60 == 0 else f"{seconds} s"


# --- after the change ---


class Calm(Frozen):
    """What was measured in a window of complete periods after the change.

    Parameters
    ----------
    periods, wanted_periods
        Complete periods there are, and how many the window needs.
    minimum_samples
        Periods with requests that are needed.
    """

    traffic: Traffic
    periods: int
    wanted_periods: int
    minimum_samples: int
    limits: ApiGatewayErrorsLimits

    @property
    def busy(self) -> bool:
        """Whether there were enough requests to judge."""
        return (
            self.traffic.samples >= self.minimum_samples
            and self.traffic.requests >= self.limits.minimum_requests
        )

    @property
    def quiet(self) -> bool:
        """Whether few enough failed, and the alarm would not turn red by what is in the window."""
        return (
            self.traffic.error_rate_percent <= self.limits.error_rate_percent
            and len(self.traffic.bad_periods) < self.limits.alarm_datapoints
        )


def judge(calm: Calm, *, final: bool) -> Verification:
    """Whether the errors are over.

    Parameters
    ----------
    final
        No later look: what would be `pending` is `failed` or `inconclusive`.
    """
    seen = calm.traffic
    reason = (
        f"{seen.errors:.0f} of {seen.requests:.0f} requests were answered with 5XX, traffic in "
        f"{seen.samples} of {calm.wanted_periods} periods"
    )
    whole = calm.periods >= calm.wanted_periods
    found = verdict(whole=whole, busy=calm.busy, quiet=calm.quiet, final=final)
    checks = rate_checks(
        rate=(seen.error_rate_percent, calm.limits.error_rate_percent),
        quiet=whole and calm.quiet,
        traffic=("requests", seen.requests, calm.limits.minimum_requests),
        samples=(seen.samples, calm.minimum_samples),
        periods=calm.periods,
    )
    return Verification(verdict=found, reason=reason, checks=checks)


def moved_by_us(calls: Sequence[PlannedCall]) -> tuple[str, str] | None:
    """Deployments that the stage was taken from and put on; None if only a canary was touched."""
    for call in calls:
        if DEPLOYMENT_ID in call.after:
            return call.before[DEPLOYMENT_ID], call.after[DEPLOYMENT_ID]
    return None


def wanted_deployments(calls: Sequence[PlannedCall]) -> list[str]:
    """Deployments that these calls need to exist."""
    found = [c.after[DEPLOYMENT_ID] for c in calls if DEPLOYMENT_ID in c.after]
    canaries = [c.after[CANARY_SETTINGS] for c in calls if c.after.get(CANARY_SETTINGS)]
    return [*found, *(canary[DEPLOYMENT_ID] for canary in canaries)]

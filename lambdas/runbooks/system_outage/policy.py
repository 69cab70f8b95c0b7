"""Decisions of `system_outage`: pure functions, no AWS call, no clock, no environment.

A suspect is something behind a red alarm that a runbook has a remedy for: a function or a stage
with a recent release, or a throttled table. The newest release comes first, since what changed
last broke it most likely; tables come after all releases, since nothing of theirs has changed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from lambdas.remediation.contracts import (
    Check,
    ChildRequest,
    Decision,
    Json,
    Plan,
    Verdict,
    Verification,
    encode,
)
from lambdas.remediation.errors import PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.ledger import Release
from lambdas.remediation.resources.stack_events import StackOperation
from lambdas.remediation.verification import verdict
from lambdas.runbooks.system_outage.runbook import SystemOutageLimits

FUNCTION, STAGE, TABLE = "lambda_errors", "api_gateway_errors", "dynamodb_throttling"


class Red(Frozen):
    """Something of the platform whose alarm is red.

    Parameters
    ----------
    runbook
        The runbook that has the remedy.
    since
        When its alarm turned red.
    release
        What the ledger knows about what it serves; None for tables, and if it could not be read.
    """

    runbook: str
    target: dict[str, str]
    alarm_name: str
    since: datetime
    release: Release | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return next(iter(self.target.values()))


class Situation(Frozen):
    """Everything the plan rests on.

    Parameters
    ----------
    red
        What is red; None if the alarms could not be read.
    operations
        Last operation of each of the platform's stacks, if it runs or ended within the look-back.
    unknown
        What could not be read, and why.
    """

    red: tuple[Red, ...] | None
    operations: tuple[StackOperation, ...] = ()
    unknown: tuple[str, ...] = ()
    limits: SystemOutageLimits


def suspects(red: Sequence[Red]) -> list[Red]:
    """What to take back or relieve, in the order to try it."""
    released = [r for r in red if r.release is not None and r.release.recent]
    # A release that the ledger has not seen yet is younger than all that it has.
    unseen = [r for r in released if r.release and r.release.since is None]
    dated = [r for r in released if r.release and r.release.since is not None]
    dated.sort(key=lambda r: r.release.since if r.release and r.release.since else r.since)
    tables = {r.name: r for r in red if r.runbook == TABLE}
    return [*unseen, *reversed(dated), *tables.values()]


def decide(situation: Situation) -> Plan:
    """Choose what to try, in order, or hand over.

    Raises
    ------
    PrerequisiteNotMetError
        No alarm of the platform is red.
    """
    if situation.red is None:
        return _hand_over(situation, "Which alarms are red could not be read.")
    if not situation.red:
        raise PrerequisiteNotMetError(
            "no alarm of the platform is red, so there is no outage to end; if users say "
            "otherwise, look at the AWS Health Dashboard and at the way to the platform"
        )
    running = [o for o in situation.operations if o.running]
    if running:
        names = ", ".join(f"{o.stack_name} ({o.status})" for o in running)
        return _hand_over(
            situation,
            f"A deployment is running: {names}. Nothing is started beside it; cancel it "
            "(aws cloudformation cancel-update-stack) or wait for its end, and look again.",
        )
    found = suspects(situation.red)[: situation.limits.child_rounds]
    if not found:
        return _hand_over(
            situation,
            "Nothing behind the red alarms was released lately and no table is throttled, so no "
            "runbook has a remedy. Look at the AWS Health Dashboard, and at what the platform "
            "depends on.",
        )
    children = [
        ChildRequest(runbook=one.runbook, target=one.target, reason=f"outage: {_why(one)}")
        for one in found
    ]
    order = ", then ".join(f"{one.runbook} on {one.name} ({_why(one)})" for one in found)
    return Plan(
        decision=Decision.DELEGATE,
        reason=f"{_headline(situation)} In this order, as long as it lasts: {order}.",
        child=children[0],
        then=children[1:],
        evidence=evidence(situation),
    )


def _why(one: Red) -> str:
    if one.release is None:
        return "throttled"
    since = one.release.since
    return f"released {since:%H:%M} UTC" if since else "released in the last minutes"


def _hand_over(situation: Situation, reason: str) -> Plan:
    return Plan(
        decision=Decision.HAND_OVER,
        reason=f"{_headline(situation)} {reason}".strip(),
        evidence=evidence(situation),
    )


def _headline(situation: Situation) -> str:
    if not situation.red:
        return ""
    first = min(one.since for one in situation.red)
    names = ", ".join(sorted({one.name for one in situation.red}))
    return f"Red since {first:%H:%M} UTC: {names}."


def evidence(situation: Situation) -> dict[str, Json]:
    """Every finding, short."""
    found: dict[str, Json] = {
        "red": "unknown"
        if situation.red is None
        else [
            {
                "alarm": one.alarm_name,
                "since": encode(one.since),
                "released": encode(one.release.since) if one.release else None,
                "recent": bool(one.release and one.release.recent),
            }
            for one in situation.red
        ],
        "stack_operations": encode(list(situation.operations)),
    }
    return found | ({"unknown": list(situation.unknown)} if situation.unknown else {})


# --- is it over? ---


class Answers(Frozen):
    """How one API answered in a window of complete periods.

    Parameters
    ----------
    samples
        Periods with at least one request.
    smoke_tested
        Whether a function behind it has a smoke event, which proves it where traffic does not.
    """

    api_name: str
    errors: float
    requests: float
    samples: int
    smoke_tested: bool = False


class Recovery(Frozen):
    """What was measured after the last runbook.

    Parameters
    ----------
    periods, wanted_periods
        Complete periods there are, and how many the window needs.
    smoke
        Function to whether it answered its smoke event without an error.
    """

    apis: tuple[Answers, ...]
    periods: int
    wanted_periods: int
    smoke: Mapping[str, bool]
    limits: SystemOutageLimits


def judge(seen: Recovery, *, final: bool) -> Verification:
    """Whether the platform answers again: every API, and every function with a smoke event."""
    whole = seen.periods >= seen.wanted_periods
    minimum = min(seen.limits.verify_minimum_samples, seen.wanted_periods)
    smoke_passed = all(seen.smoke.values())
    verdicts, checks = [], []
    for api in seen.apis:
        rate = 100 * api.errors / api.requests if api.requests else 0.0
        quiet = rate <= seen.limits.error_rate_percent
        busy = api.requests >= seen.limits.minimum_requests and api.samples >= minimum
        proven = busy or (api.smoke_tested and smoke_passed)
        verdicts.append(verdict(whole=whole, busy=proven, quiet=quiet, final=final))
        checks.append(
            Check(
                name=f"{api.api_name} error_rate_percent",
                observed=round(rate, 1),
                threshold=float(seen.limits.error_rate_percent),
                samples=api.samples,
                passed=whole and proven and quiet,
            )
        )
    for name, passed in seen.smoke.items():
        verdicts.append(
            verdict(whole=True, busy=True, quiet=passed, final=final),
        )
        checks.append(
            Check(
                name=f"{name} smoke event",
                observed=float(passed),
                threshold=1.0,
                samples=1,
                passed=passed,
            )
        )
    return Verification(verdict=_worst(verdicts), reason=_said(seen), checks=checks)


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    for one in (Verdict.FAILED, Verdict.PENDING, Verdict.INCONCLUSIVE):
        if one in verdicts:
            return one
    return Verdict.PASSED if verdicts else Verdict.INCONCLUSIVE


def _said(seen: Recovery) -> str:
    rates = [
        f"{a.api_name}: {a.errors:.0f} of {a.requests:.0f} requests answered with 5XX"
        for a in seen.apis
    ]
    silent = [name for name, passed in seen.smoke.items() if not passed]
    smoke = [f"smoke event failed: {', '.join(silent)}"] if silent else []
    return "; ".join([*rates, *smoke]) or "there is nothing to measure"

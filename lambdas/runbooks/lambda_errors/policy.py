"""Decisions of `lambda_errors`: pure functions, no AWS call, no clock, no environment.

Only a release can be taken back, so the question is whether one is to blame:

- a second version is being rolled out by weights, and only that one fails: take it out;
- the version behind the alias is new, and an earlier one was seen healthy: go back to that;
- neither, and a table throttles enough to explain the failures: another runbook mends that;
- anything else: a person has to, with the most frequent errors of the log.

An empty ledger knows neither what is new nor what was good. Nothing is changed on a guess.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime

from lambdas.remediation.contracts import (
    Check,
    ChildRequest,
    Decision,
    Json,
    Plan,
    PlannedCall,
    Verdict,
    Verification,
    encode,
)
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.ledger import Release
from lambdas.remediation.resources.function_logs import LoggedErrors
from lambdas.remediation.resources.lambda_alias import (
    LATEST,
    VERSION,
    WEIGHTS,
    Alias,
    FunctionState,
    Invocation,
)
from lambdas.remediation.verification import Series, rate_checks, samples, total, verdict
from lambdas.runbooks.lambda_errors.runbook import LambdaErrorsLimits

CHILD = "dynamodb_throttling"
_PUBLISHED = re.compile(r"[1-9]\d{0,9}")


class Traffic(Frozen):
    """Invocations in some complete or running periods, and how they ended.

    Parameters
    ----------
    samples
        Periods with at least one invocation.
    bad_periods
        Periods that the alarm counts as bad: enough invocations, and too many of them failed.
    """

    errors: float = 0
    invocations: float = 0
    samples: int = 0
    bad_periods: int = 0

    @property
    def error_rate_percent(self) -> float:
        """Failed invocations in percent; 0 without any."""
        return 100 * self.errors / self.invocations if self.invocations else 0.0


def traffic(
    errors: Series, invocations: Series, periods: Sequence[datetime], limits: LambdaErrorsLimits
) -> Traffic:
    """Add up the periods. A missing value counts as zero: Lambda leaves out what did not happen."""
    bad = [
        p
        for p in periods
        if invocations.get(p, 0) >= limits.minimum_invocations
        and 100 * errors.get(p, 0) > limits.error_rate_percent * invocations[p]
    ]
    return Traffic(
        errors=total([errors], periods),
        invocations=total([invocations], periods),
        samples=samples([invocations], periods),
        bad_periods=len(bad),
    )


class Situation(Frozen):
    """Everything the decision rests on.

    Parameters
    ----------
    alias
        The alias that serves the traffic; None if the platform file names none.
    traffic, by_version
        What the alias went through in the look-back, and while there are weights each version.
    asked_version
        The version a person asks for, if any.
    candidate
        State of the version to go back to; None if there is none, or it no longer exists.
    throttled
        Throttle events by table, most throttled first.
    by_person, is_child
        Whether a person started the run, or another run did.
    """

    function_name: str
    alias: Alias | None
    traffic: Traffic = field(default_factory=Traffic)
    by_version: Mapping[str, Traffic] = field(default_factory=dict)
    release: Release | None = None
    asked_version: str | None = None
    candidate: FunctionState | None = None
    throttled: Mapping[str, float] = field(default_factory=dict)
    by_person: bool = False
    is_child: bool = False
    limits: LambdaErrorsLimits

    def fails(self, traffic: Traffic) -> bool:
        """Whether too many invocations fail, in one period or altogether."""
        return traffic.bad_periods > 0 or (
            self.measured(traffic) and traffic.error_rate_percent > self.limits.error_rate_percent
        )

    def measured(self, traffic: Traffic) -> bool:
        """Whether there are enough invocations for their rate to say something."""
        return traffic.invocations >= self.limits.minimum_invocations

    @property
    def name(self) -> str:
        """Function and alias as people call them."""
        return self.function_name + (f":{self.alias.name}" if self.alias else "")


def asked_version(version: str | None) -> str | None:
    """The version a person asks for.

    Raises
    ------
    InvalidRequestError
        It is not the number of a published version: `$LATEST` is code that anyone may change, and
        an alias cannot point to an alias.
    """
    if version is not None and not _PUBLISHED.fullmatch(version):
        raise InvalidRequestError(
            f"parameters.version: {version!r} is not a published version; give its number as text"
        )
    return version


def candidate_version(asked: str | None, release: Release) -> str | None:
    """The version that the alias may have to go to."""
    if asked is not None:
        return asked
    return release.previous_good if release.recent else None


def decide(situation: Situation) -> Plan:
    """Find out whether a release is to blame, and what to do about it.

    Raises
    ------
    PrerequisiteNotMetError
        Nothing fails, or the version that a person asks for cannot be used; the message says which.
    """
    alias, release = situation.alias, situation.release
    if situation.asked_version is not None:
        return _as_asked(situation)
    fails = situation.fails(situation.traffic)
    wanted = situation.by_person and _could_roll_back(release)
    if not fails and not wanted:
        raise PrerequisiteNotMetError(
            f"{_headline(situation)} That is not more than {situation.limits.error_rate_percent} %"
            f" of at least {situation.limits.minimum_invocations}, so there is nothing to mend"
        )
    if alias is None:
        return _hand_over(
            situation, "The platform file names no alias, so there is no release to go back to."
        )
    if alias.version == LATEST:
        return _hand_over(
            situation,
            f"The alias serves {LATEST}, which has no earlier version: publish versions, and point "
            "the alias to one.",
        )
    if release is None or not release.known:
        return _hand_over(
            situation,
            "The ledger of releases is empty, so nothing tells what is new or what was good. "
            "To go back, start this runbook with parameters.version.",
        )
    plan = _rollout(situation, alias, release) if alias.weights else None
    if plan is not None:
        return plan
    return _release(situation, alias, release) if release.recent else _elsewhere(situation, release)


def _could_roll_back(release: Release | None) -> bool:
    return release is not None and release.recent and release.previous_good is not None


def _as_asked(situation: Situation) -> Plan:
    alias, wanted = situation.alias, situation.asked_version or ""
    if alias is None:
        raise PrerequisiteNotMetError(
            f"function {situation.function_name}: platform.json names no alias that could be moved"
        )
    if alias.version == wanted and not alias.weights:
        raise PrerequisiteNotMetError(f"{situation.name}: version {wanted} serves all traffic now")
    if situation.candidate is None:
        raise PrerequisiteNotMetError(f"{situation.name}: there is no version {wanted}")
    if not situation.candidate.serves:
        raise PrerequisiteNotMetError(
            f"{situation.name}: version {wanted} cannot serve, it is {situation.candidate.state}"
        )
    return _move(situation, alias, wanted, f"Move the alias {_path(alias, wanted)}, as asked.")


def _rollout(situation: Situation, alias: Alias, release: Release) -> Plan | None:
    """What the two versions of a weighted alias tell; None if they tell nothing apart."""
    second = next(iter(alias.weights))
    main = situation.by_version.get(alias.version, Traffic())
    other = situation.by_version.get(second, Traffic())
    main_fails, other_fails = situation.fails(main), situation.fails(other)
    if other_fails and situation.measured(main) and not main_fails:
        return _move(
            situation,
            alias,
            alias.version,
            f"Of the two versions only {second} fails ({_rate(other)} against {_rate(main)}): take "
            f"it out, {_path(alias, alias.version)}.",
        )
    if main_fails and situation.measured(other) and not other_fails:
        if _could_roll_back(release) and release.previous_good == second:
            return None
        return _hand_over(
            situation,
            f"Version {alias.version} fails, and version {second}, which is being rolled out, does "
            "not: finish that rollout.",
        )
    if main_fails and other_fails and release.previous_good != second:
        return None
    return _hand_over(
        situation,
        f"Versions {alias.version} and {second} share the traffic, and their numbers do not tell "
        f"which one to keep ({_rate(main)} against {_rate(other)}).",
    )


def _release(situation: Situation, alias: Alias, release: Release) -> Plan:
    """The version behind the alias is new: go back, if there is a way back."""
    wanted, candidate = release.previous_good, situation.candidate
    since = f"since {release.since:%H:%M} UTC" if release.since else "since a few minutes at most"
    headline = f"Version {alias.version} is there {since}"
    if wanted is None:
        return _hand_over(
            situation, f"{headline}, but no earlier version was seen without this alarm."
        )
    if candidate is None or not candidate.serves:
        state = "is deleted" if candidate is None else f"is {candidate.state}"
        return _hand_over(
            situation,
            f"{headline}, but version {wanted}, the last one that was good, {state}.",
        )
    reason = f"{headline}: move the alias {_path(alias, wanted)}, which was good before."
    return _move(situation, alias, wanted, reason)


def _elsewhere(situation: Situation, release: Release) -> Plan:
    """No release is to blame: another runbook, or a person."""
    table = _throttled_table(situation)
    if table is not None:
        count = situation.throttled[table]
        found = f"Its release is not new, but table {table} throttled {count:.0f} requests."
        if situation.is_child:
            return _hand_over(
                situation, f"{found} A run that another run started does not start {CHILD}."
            )
        return Plan(
            decision=Decision.DELEGATE,
            reason=f"{_headline(situation)} {found}",
            child=ChildRequest(
                runbook=CHILD,
                target={"table_name": table},
                reason=f"{situation.name} fails while the table throttles",
            ),
            evidence=_evidence(situation),
        )
    if release.by_run is not None:
        return _hand_over(
            situation,
            f"Run {release.by_run} has moved the alias to version {release.current}, and it still "
            "fails: going back has not helped.",
        )
    return _hand_over(
        situation,
        f"Version {release.current} is not new and no table throttles enough to explain it: the "
        "cause is elsewhere.",
    )


def _throttled_table(situation: Situation) -> str | None:
    """The most throttled table, if its throttling can explain most of the failures.

    An invocation that failed because of throttling met at least one throttled request, and the SDK
    repeats it: fewer events than half of the failures are a coincidence.
    """
    table = next(iter(situation.throttled), None)
    if table is None or 2 * situation.throttled[table] < situation.traffic.errors:
        return None
    return table


def _move(situation: Situation, alias: Alias, version: str, reason: str) -> Plan:
    return Plan(
        decision=Decision.CHANGE,
        reason=f"{_headline(situation)} {reason}",
        calls=[alias.moved_to(version)],
        evidence=_evidence(situation),
    )


def _hand_over(situation: Situation, reason: str) -> Plan:
    return Plan(
        decision=Decision.HAND_OVER,
        reason=f"{_headline(situation)} {reason}",
        evidence=_evidence(situation),
    )


def _headline(situation: Situation) -> str:
    span = duration(situation.limits.look_back_seconds)
    seen = situation.traffic
    return (
        f"{seen.errors:.0f} of {seen.invocations:.0f} invocations of {situation.name} failed in "
        f"{span}."
    )


def _path(alias: Alias, version: str) -> str:
    shares = "".join(f" with {share:.0%} to {v}" for v, share in alias.weights.items())
    return f"from version {alias.version}{shares} to {version}"


def _rate(seen: Traffic) -> str:
    return f"{seen.error_rate_percent:.0f} % of {seen.invocations:.0f}"


def _evidence(situation: Situation) -> dict[str, Json]:
    found: dict[str, Json] = {
        "look_back_seconds": situation.limits.look_back_seconds,
        **_numbers(situation.traffic),
    }
    if situation.by_version:
        found["by_version"] = {v: _numbers(t) for v, t in situation.by_version.items()}
    if situation.release is not None:
        found["release"] = encode(situation.release)
    if situation.throttled:
        found["throttle_events"] = {t: round(n) for t, n in situation.throttled.items()}
    return found


def _numbers(seen: Traffic) -> dict[str, Json]:
    return {
        "errors": round(seen.errors),
        "invocations": round(seen.invocations),
        "error_rate_percent": round(seen.error_rate_percent, 1),
        "bad_periods": seen.bad_periods,
    }


def with_errors(plan: Plan, log_group: str, logged: LoggedErrors) -> Plan:
    """The plan with what the log says: the most frequent error in its reason, all in evidence."""
    evidence: dict[str, Json] = {
        "log_group": log_group,
        "logged_errors": logged.errors,
        "log_read": "all" if logged.complete else "in part, oldest first",
        "error_patterns": encode(list(logged.patterns)),
    }
    reason = plan.reason
    if logged.patterns:
        most = logged.patterns[0]
        reason = f"{reason} Most logged ({most.count} of {logged.errors}): {most.pattern}"
    return dataclasses.replace(plan, reason=reason, evidence={**plan.evidence, **evidence})


def without_errors(plan: Plan, log_group: str, why: str) -> Plan:
    """The plan, saying that the log could not be read."""
    evidence: dict[str, Json] = {"log_group": log_group, "log_read": f"not readable: {why}"}
    return dataclasses.replace(plan, evidence={**plan.evidence, **evidence})


def duration(seconds: int) -> str:
    """A time span for a person."""
    return f"{seconds // 60} min" if seconds >= 60 and seconds % 60 == 0 else f"{seconds} s"


# --- after the change ---


class Health(Frozen):
    """What was measured in a window of complete periods after the change.

    Parameters
    ----------
    periods, wanted_periods
        Complete periods there are, and how many the window needs.
    minimum_samples
        Periods with traffic that are needed.
    """

    traffic: Traffic
    periods: int
    wanted_periods: int
    minimum_samples: int
    limits: LambdaErrorsLimits

    @property
    def busy(self) -> bool:
        """Whether there was enough traffic to judge."""
        seen = self.traffic
        return (
            seen.samples >= self.minimum_samples
            and seen.invocations >= self.limits.minimum_invocations
        )

    @property
    def within_rate(self) -> bool:
        """Whether few enough of the invocations failed, however few those were."""
        return self.traffic.error_rate_percent <= self.limits.error_rate_percent

    @property
    def quiet(self) -> bool:
        """Whether the alarm would not turn red by what is in the window."""
        return self.within_rate and self.traffic.bad_periods < self.limits.alarm_datapoints


def judge(health: Health, *, final: bool) -> Verification:
    """Whether the function is well again.

    Parameters
    ----------
    final
        No later look: what would be `pending` is `failed` or `inconclusive`.
    """
    seen = health.traffic
    reason = (
        f"{seen.errors:.0f} of {seen.invocations:.0f} invocations failed, traffic in "
        f"{seen.samples} of {health.wanted_periods} periods"
    )
    whole = health.periods >= health.wanted_periods
    found = verdict(whole=whole, busy=health.busy, quiet=health.quiet, final=final)
    checks = rate_checks(
        rate=(seen.error_rate_percent, health.limits.error_rate_percent),
        quiet=whole and health.quiet,
        traffic=("invocations", seen.invocations, health.limits.minimum_invocations),
        samples=(seen.samples, health.minimum_samples),
        periods=health.periods,
    )
    return Verification(verdict=found, reason=reason, checks=checks)


def with_smoke(
    judged: Verification, health: Health, answer: Invocation, version: str | None
) -> Verification:
    """The verdict that traffic could not give, from one invocation with the configured event.

    Parameters
    ----------
    version
        The version that must have answered; None if it does not matter.
    """
    executed = version is None or answer.executed_version == version
    good = answer.status_code == 200 and answer.function_error is None and executed
    if answer.function_error is not None:
        verdict, found = Verdict.FAILED, f"failed ({answer.function_error})"
    elif not good:
        verdict = Verdict.INCONCLUSIVE
        found = f"ran version {answer.executed_version} and answered {answer.status_code}"
    elif not health.within_rate:
        verdict, found = Verdict.INCONCLUSIVE, "succeeded, but too many others failed"
    else:
        verdict, found = Verdict.PASSED, "succeeded"
    check = Check(
        name="smoke_invocation",
        observed=float(good),
        threshold=1.0,
        samples=1,
        passed=good,
    )
    return Verification(
        verdict=verdict,
        reason=f"{judged.reason}; the smoke invocation {found}",
        checks=[*judged.checks, check],
    )


def moved_away(call: PlannedCall, present: Mapping[str, Json]) -> str | None:
    """Where the alias points, if not where the call wants it; None if it does."""
    if call.after == present:
        return None
    weights = present[WEIGHTS]
    return f"version {present[VERSION]}" + (f" with weights {weights}" if weights else "")


def left_version(call: PlannedCall) -> str:
    """The version that a call takes the traffic from."""
    if call.before[VERSION] != call.after[VERSION]:
        return str(call.before[VERSION])
    return str(next(iter(call.before[WEIGHTS])))


def versions_in(settings: Mapping[str, Json]) -> list[str]:
    """Every version that settings of an alias name."""
    return [str(settings[VERSION]), *(str(v) for v in settings[WEIGHTS])]

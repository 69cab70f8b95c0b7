"""Decisions of every runbook that releases a version of a Lambda function: pure functions.

A release is published, proven by an invocation that serves nobody, given a share of the traffic
(the canary), and then all of it. What is planned is one move of the alias; the canary is a stage of
that move, neither before nor after.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from lambdas.remediation.contracts import (
    Change,
    Check,
    Json,
    Plan,
    PlannedCall,
    Verdict,
    Verification,
)
from lambdas.remediation.errors import (
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
)
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.platform import Function
from lambdas.remediation.resources.lambda_alias import (
    LATEST,
    REVISION_ID,
    UPDATE_ALIAS,
    VERSION,
    WEIGHTS,
    Alias,
    Invocation,
)
from lambdas.remediation.resources.lambda_release import (
    CODE,
    PUBLISH,
    RELEASE,
    UPDATE_CODE,
    Configuration,
    publish,
)
from lambdas.remediation.runbook import Limits, limit
from lambdas.remediation.verification import Series, rate_checks, samples, total, verdict

CANARY_PERCENT = "CanaryPercent"
MAX_CANARY_PERCENT = 50


class ReleaseLimits(Limits):
    """Limits of a runbook that releases: canary and verification measure with the same numbers."""

    cool_down_seconds: int = limit(300, 0, 86_400, "pause on a function after a release")
    # Two such loops, each pass of which costs three transitions: few looks, far apart.
    poll_interval_seconds: int = limit(10, 1, 300, "first wait for Lambda to settle; grows")
    poll_attempts: int = limit(22, 1, 200, "looks at a change before it counts as failed")
    # A move of an alias takes effect in seconds: what is still bad after that stays so.
    verify_attempts: int = limit(8, 1, 120, "verifications before the answer is final")
    mitigation_lease_seconds: int = limit(
        2_592_000, 60, 2_592_000, "when a person is reminded of the undo; a release may well stay"
    )
    error_rate_percent: int = limit(5, 1, 100, "failed invocations in percent that are too many")
    minimum_invocations: int = limit(
        20, 1, 100_000, "invocations in the window below which their rate says nothing"
    )
    default_canary_percent: int = limit(
        10, 0, 50, "share of the traffic that a new version gets first; 0 gives it all at once"
    )
    canary_interval_seconds: int = limit(60, 1, 300, "first wait between two looks at a canary")
    canary_attempts: int = limit(5, 1, 60, "looks at a canary before it gets all the traffic")
    canary_minimum_invocations: int = limit(
        5, 1, 100_000, "invocations of the new version from which its failures take it out"
    )


# --- before the change ---


def canary_percent(asked: int | None, limits: ReleaseLimits) -> int:
    """Share of the traffic that the new version gets first.

    Raises
    ------
    InvalidRequestError
        It is not between 0 and 50: a canary is the smaller part.
    """
    share = limits.default_canary_percent if asked is None else asked
    if not 0 <= share <= MAX_CANARY_PERCENT:
        raise InvalidRequestError(
            f"parameters.canary_percent: {share} is outside 0 to {MAX_CANARY_PERCENT}; "
            "type 0 to give all the traffic at once"
        )
    return share


def require_alias(function: Function) -> str:
    """Name of the alias that serves the function's traffic.

    Raises
    ------
    PrerequisiteNotMetError
        The platform file names none: there would be nothing to go back to.
    """
    if function.alias is None:
        raise PrerequisiteNotMetError(
            f"function {function.function_name}: platform.json names no alias, so there would be "
            "nothing to go back to; serve it through an alias and set functions[].alias"
        )
    return function.alias


def require_smoke_event(function: Function, *, required: bool, runbook: str) -> None:
    """Refuse a release that nothing can prove before it serves.

    Raises
    ------
    PrerequisiteNotMetError
        The platform file names no event for a test invocation, and does not do without.
    """
    if required and function.smoke_event is None:
        raise PrerequisiteNotMetError(
            f"function {function.function_name}: no version is given traffic before it has "
            "answered a test invocation; set functions[].smoke_event in platform.json to an event "
            f"that changes nothing, or runbooks.{runbook}.options.require_smoke_event to false"
        )


def require_ready(function_name: str, latest: Configuration, alias: Alias) -> None:
    """Refuse a function that cannot be released now.

    Raises
    ------
    ResourceBusyError
        Somebody is updating it.
    PrerequisiteNotMetError
        It is not in order, is an image, or its alias is not on one published version.
    """
    name = f"function {function_name}"
    if not latest.settled:
        raise ResourceBusyError(f"{name} is being updated, look again later")
    if latest.package_type != "Zip":
        raise PrerequisiteNotMetError(
            f"{name} is a container image ({latest.package_type}); release it by its image"
        )
    if not latest.serves or latest.last_update_status != "Successful":
        raise PrerequisiteNotMetError(
            f"{name} is {latest.state}, its last update {latest.last_update_status} "
            f"{latest.reason}; repair that first"
        )
    if alias.version == LATEST:
        raise PrerequisiteNotMetError(
            f"{name}: alias {alias.name} serves {LATEST}, which one cannot go back to; publish a "
            "version and point the alias to it"
        )
    if alias.weights:
        raise PrerequisiteNotMetError(
            f"{name}: alias {alias.name} shares its traffic between versions {alias.version} and "
            f"{', '.join(alias.weights)}; finish that rollout first"
        )


def release_calls(
    function_arn: str,
    alias: Alias,
    *,
    release: str,
    code_sha256: str,
    published: str | None,
    canary: int,
) -> list[PlannedCall]:
    """The calls that publish what is there then, and move the alias to it.

    Parameters
    ----------
    release
        Run that names the version.
    published
        Version that already is what would be published: Lambda would make no other one.
    canary
        Share in percent that the new version gets first.
    """
    version = published or f"{RELEASE}{release}"
    move = PlannedCall(
        api=UPDATE_ALIAS,
        resource=alias.arn,
        arguments={VERSION: version, CANARY_PERCENT: canary, REVISION_ID: alias.revision_id},
        before=alias.settings,
        after={VERSION: version, WEIGHTS: {}},
    )
    if published is not None:
        return [move]
    return [publish(function_arn, release=release, code_sha256=code_sha256), move]


# --- the calls of a plan ---


def of_api(plan: Plan, *apis: str) -> list[PlannedCall]:
    """The plan's calls of these APIs, in order."""
    return [call for call in plan.calls if call.api in apis]


def unpublished(plan: Plan) -> list[PlannedCall]:
    """The calls that change what is published after them."""
    return [call for call in plan.calls if call.api not in (PUBLISH, UPDATE_ALIAS)]


def alias_call(plan: Plan) -> PlannedCall:
    """The move of the alias, or in an undo run the way back."""
    return of_api(plan, UPDATE_ALIAS)[-1]


def canary_call(plan: Plan) -> PlannedCall | None:
    """The first stage of the planned move; None if there is none."""
    move = alias_call(plan)
    share = move.arguments.get(CANARY_PERCENT, 0)
    if not share:
        return None
    weights = {move.after[VERSION]: share / 100}
    return dataclasses.replace(move, after={VERSION: move.before[VERSION], WEIGHTS: weights})


def shift_call(plan: Plan) -> PlannedCall:
    """The last stage of the planned move: all the traffic.

    After a canary the alias has a new revision; that it still is this run's canary is looked at.
    """
    canary = canary_call(plan)
    move = alias_call(plan)
    if canary is None:
        return move
    return dataclasses.replace(move, arguments={}, before=canary.after)


def is_canary(plan: Plan, present: Mapping[str, Json]) -> bool:
    """Whether the alias stands in this run's canary stage, and not in anybody else's."""
    canary = canary_call(plan)
    return canary is not None and canary.after == present


def together(earlier: Change | None, later: Change) -> Change:
    """All changes of a run so far, dated by the last."""
    return dataclasses.replace(later, calls=[*(earlier.calls if earlier else []), *later.calls])


def told(judged: Verification, plan: Plan) -> Verification:
    """The verdict, saying of a failure what of the plan is not taken back with the alias."""
    if judged.verdict is not Verdict.FAILED or not of_api(plan, UPDATE_CODE):
        return judged
    move = alias_call(plan)
    left = (
        "the unpublished code ($LATEST) stays as it is now: no alias serves it, but whoever "
        f"publishes next releases it; {put_back(move.resource.split(':')[6], move.before[VERSION])}"
    )
    return dataclasses.replace(judged, reason=f"{judged.reason}; {left}")


def put_back(function_name: str, version: str) -> str:
    """How to give the unpublished function the code of a version, for people."""
    location = (
        f"aws lambda get-function --function-name {function_name} --qualifier {version} "
        "--query Code.Location --output text"
    )
    return (
        f"to put the code of version {version} there, release its package with update_lambda_code, "
        f'or: curl -so code.zip "$({location})" && aws lambda update-function-code '
        f"--function-name {function_name} --zip-file fileb://code.zip"
    )


# --- while it settles ---


def judge_settled(latest: Configuration, *, applied: bool, what: str, final: bool) -> Verification:
    """Whether the update of the unpublished function has settled as planned.

    Parameters
    ----------
    applied
        Whether what was planned is there.
    what
        What was planned, for the reason.
    """
    if not latest.settled:
        found = Verdict.FAILED if final else Verdict.PENDING
        return Verification(verdict=found, reason="the function is still being updated")
    if latest.last_update_status != "Successful" or not latest.serves:
        reason = f"the update is {latest.last_update_status}: {latest.reason}"
        return Verification(verdict=Verdict.FAILED, reason=reason)
    if not applied:
        reason = f"the function has settled, but not with {what}"
        return Verification(verdict=Verdict.FAILED, reason=reason)
    return Verification(verdict=Verdict.PASSED, reason=f"the function has settled with {what}")


def judge_version(found: Configuration, code_sha256: str, *, final: bool) -> Verification:
    """Whether a published version can serve, and holds the planned code."""
    if found.code_sha256 != code_sha256:
        reason = f"version {found.version} holds code {found.code_sha256}, not {code_sha256}"
        return Verification(verdict=Verdict.FAILED, reason=reason)
    if found.state == "Pending":
        pending = Verdict.FAILED if final else Verdict.PENDING
        return Verification(verdict=pending, reason=f"version {found.version} is still Pending")
    if not found.serves:
        reason = f"version {found.version} is {found.state}: {found.reason}"
        return Verification(verdict=Verdict.FAILED, reason=reason)
    return Verification(verdict=Verdict.PASSED, reason=f"version {found.version} is {found.state}")


def with_smoke(judged: Verification, answer: Invocation, version: str) -> Verification:
    """A verdict with what a test invocation adds: it must have run that version without an error.

    A function that raises answers 200 too, so the status alone proves nothing.
    """
    good = (
        answer.status_code == 200
        and answer.function_error is None
        and answer.executed_version == version
    )
    if good:
        found = "succeeded"
    elif answer.function_error is not None:
        found = f"failed ({answer.function_error})"
    else:
        found = f"ran version {answer.executed_version} and answered {answer.status_code}"
    check = Check(
        name="smoke_invocation", observed=float(good), threshold=1.0, samples=1, passed=good
    )
    return Verification(
        verdict=Verdict.PASSED if good else Verdict.FAILED,
        reason=f"{judged.reason}; the smoke invocation of version {version} {found}",
        checks=[*judged.checks, check],
    )


# --- while it serves ---


class Traffic(Frozen):
    """Invocations in some periods, and how many of them failed.

    Parameters
    ----------
    samples
        Periods with at least one invocation.
    periods, wanted_periods
        Periods that were measured, and how many the window needs.
    """

    errors: float = 0
    invocations: float = 0
    samples: int = 0
    periods: int = 0
    wanted_periods: int = 0

    @property
    def error_rate_percent(self) -> float:
        """Failed invocations in percent; 0 without any."""
        return 100 * self.errors / self.invocations if self.invocations else 0.0

    @property
    def text(self) -> str:
        """Errors and invocations, for a reason."""
        return f"{self.errors:.0f} of {self.invocations:.0f} invocations failed"


def traffic(
    errors: Series, invocations: Series, periods: Sequence[Any], *, wanted_periods: int
) -> Traffic:
    """Add up the periods. A missing value counts as zero: Lambda leaves out what did not happen."""
    return Traffic(
        errors=total([errors], periods),
        invocations=total([invocations], periods),
        samples=samples([invocations], periods),
        periods=len(periods),
        wanted_periods=wanted_periods,
    )


def judge_canary(seen: Traffic, limits: ReleaseLimits, *, final: bool) -> Verification:
    """Whether the new version may have all the traffic.

    Notes
    -----
    Too little traffic at the last look is `inconclusive`: the release goes on, resting on the test
    invocation, and what follows is verified by all the traffic.
    """
    measured = seen.invocations >= limits.canary_minimum_invocations
    bad = seen.error_rate_percent > limits.error_rate_percent
    check = Check(
        name="canary_error_rate_percent",
        observed=round(seen.error_rate_percent, 1),
        threshold=float(limits.error_rate_percent),
        samples=round(seen.invocations),
        passed=measured and not bad,
    )
    reason = f"canary: {seen.text} of the new version"
    if measured and bad:
        found = Verdict.FAILED
    elif not final:
        found = Verdict.PENDING
    else:
        found = Verdict.PASSED if measured else Verdict.INCONCLUSIVE
    return Verification(verdict=found, reason=reason, checks=[check])


def judge_traffic(seen: Traffic, limits: ReleaseLimits, *, final: bool) -> Verification:
    """Whether the alias serves well with the new version; silence is never a pass.

    Parameters
    ----------
    final
        No later look: what would be `pending` is `failed` or `inconclusive`.
    """
    minimum = min(limits.verify_minimum_samples, seen.wanted_periods)
    whole = seen.periods >= seen.wanted_periods
    busy = seen.invocations >= limits.minimum_invocations and seen.samples >= minimum
    quiet = seen.error_rate_percent <= limits.error_rate_percent
    found = verdict(whole=whole, busy=busy, quiet=quiet, final=final)
    return Verification(
        verdict=found,
        reason=f"{seen.text}, traffic in {seen.samples} of {seen.wanted_periods} periods",
        checks=rate_checks(
            rate=(seen.error_rate_percent, limits.error_rate_percent),
            quiet=whole and quiet,
            traffic=("invocations", seen.invocations, limits.minimum_invocations),
            samples=(seen.samples, minimum),
            periods=seen.periods,
        ),
    )


def may_be_proven_by_smoke(judged: Verification, seen: Traffic, limits: ReleaseLimits) -> bool:
    """Whether a test invocation may decide: too little traffic, and that little did not fail."""
    return (
        judged.verdict is Verdict.INCONCLUSIVE
        and seen.error_rate_percent <= limits.error_rate_percent
    )


def moved_away(call: PlannedCall, present: Mapping[str, Json]) -> Verification | None:
    """What to say if the alias is not where the call wants it; None if it is."""
    if call.after == present:
        return None
    weights = f" with weights {present[WEIGHTS]}" if present[WEIGHTS] else ""
    return Verification(
        verdict=Verdict.INCONCLUSIVE,
        reason=f"someone else has moved the alias to version {present[VERSION]}{weights} since",
    )


def judge_undo(settled: bool, *, final: bool) -> Verification:
    """Whether everything that an undo takes back is as it was."""
    if settled:
        return Verification(verdict=Verdict.PASSED, reason="everything is where it was")
    found = Verdict.FAILED if final else Verdict.PENDING
    return Verification(verdict=found, reason="not everything is where it was")


def with_unpublished(
    judged: Verification, function_name: str, latest: Configuration, served: Configuration
) -> Verification:
    """The verdict of an undo, saying so where the undone code is still what would be published."""
    if judged.verdict is not Verdict.PASSED or latest.code_sha256 == served.code_sha256:
        return judged
    left = (
        f"the unpublished code ($LATEST) is still {latest.code_sha256}, not that of version "
        f"{served.version}: whoever publishes next releases it, and update_lambda_environment "
        f"refuses; {put_back(function_name, served.version)}"
    )
    return dataclasses.replace(judged, reason=f"the alias is where it was; {left}")


def code_of(plan: Plan) -> str:
    """Code that the release must hold, as Lambda writes its SHA-256."""
    return str(plan.evidence[CODE])

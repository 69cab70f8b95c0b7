"""Decisions of `optimize_cold_starts`: pure functions, no AWS call, no clock, no environment."""

import math
from collections.abc import Sequence

from lambdas.remediation.contracts import (
    Check,
    Decision,
    Json,
    Plan,
    PlannedCall,
    Verdict,
    Verification,
)
from lambdas.remediation.errors import PrerequisiteNotMetError, ResourceBusyError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.function_logs import Reports
from lambdas.remediation.resources.lambda_alias import LATEST, Alias, FunctionState
from lambdas.remediation.resources.provisioned_concurrency import (
    FAILED,
    IN_PROGRESS,
    PROVISIONED,
    READY,
    Allocation,
    FunctionSetup,
    Headroom,
    provision,
)
from lambdas.runbooks.optimize_cold_starts.runbook import OptimizeColdStartsLimits

_P95 = 0.95


class ColdStarts(Frozen):
    """Cold starts of some time: how many of the invocations, and how long the longer ones took.

    Parameters
    ----------
    p95_milliseconds
        Time that 95 % of them took at most; 0 without any.
    """

    count: int = 0
    invocations: int = 0
    p95_milliseconds: float = 0.0
    complete: bool = True

    @property
    def percent(self) -> float:
        """Share of the invocations; 0 without any."""
        return 100 * self.count / self.invocations if self.invocations else 0.0


def measure(reports: Reports) -> ColdStarts:
    """Count the cold starts among Lambda's reports."""
    taken = sorted(reports.init_milliseconds)
    return ColdStarts(
        count=len(taken),
        invocations=reports.invocations,
        p95_milliseconds=taken[math.ceil(_P95 * len(taken)) - 1] if taken else 0.0,
        complete=reports.complete,
    )


class Situation(Frozen):
    """Everything the plan rests on.

    Parameters
    ----------
    state, setup
        Of the version behind the alias.
    present
        What is provisioned now; None if nothing is.
    peak_concurrency
        Most invocations at once in the look-back; 0 if there is no such measurement.
    scaled
        Whether Application Auto Scaling sets the number.
    asked
        Environments that a person asks for, if any.
    """

    alias: Alias
    state: FunctionState
    setup: FunctionSetup
    present: Allocation | None
    cold_starts: ColdStarts
    peak_concurrency: float
    headroom: Headroom
    scaled: bool
    asked: int | None
    limits: OptimizeColdStartsLimits

    @property
    def name(self) -> str:
        """Function and alias as people call them."""
        return f"{self.alias.function_name}:{self.alias.name}"


def require_alias(function_name: str, alias: str | None) -> str:
    """The alias to provision concurrency for.

    Raises
    ------
    PrerequisiteNotMetError
        The platform file names no alias of the function.
    """
    if alias is None:
        raise PrerequisiteNotMetError(
            f"function {function_name}: platform.json names no alias, and only an alias can have "
            "provisioned concurrency; publish a version, point an alias to it, and name that"
        )
    return alias


def decide(situation: Situation) -> Plan:
    """Plan how many environments to keep ready.

    Raises
    ------
    PrerequisiteNotMetError
        The alias cannot have provisioned concurrency, needs none, or other functions need what
        there is; the message says which.
    ResourceBusyError
        The version is being published, or an allocation is under way.
    """
    _require_eligible(situation)
    present = None if situation.present is None else situation.present.requested
    wanted = _wanted(situation, present)
    obstacles = capacity_obstacles(wanted, situation.headroom, situation.limits)
    if obstacles:
        raise PrerequisiteNotMetError(f"{situation.name}: {obstacles}")
    return Plan(
        decision=Decision.CHANGE,
        reason=_reason(situation, present, wanted),
        calls=[provision(situation.alias.arn, before=present, wanted=wanted)],
        evidence=_evidence(situation, wanted),
    )


def _require_eligible(situation: Situation) -> None:
    alias, name = situation.alias, situation.name
    if alias.version == LATEST:
        raise PrerequisiteNotMetError(
            f"{name} serves {LATEST}, for which Lambda provisions nothing; point it to a "
            "published version"
        )
    if alias.weights:
        raise PrerequisiteNotMetError(
            f"{name} shares its traffic between two versions; finish or take back that rollout "
            "first"
        )
    if situation.setup.snap_start:
        raise PrerequisiteNotMetError(
            f"{name}: version {alias.version} uses SnapStart, which excludes provisioned "
            "concurrency"
        )
    if not situation.state.settled:
        raise ResourceBusyError(f"{name}: version {alias.version} is being published")
    if not situation.state.serves:
        raise PrerequisiteNotMetError(
            f"{name}: version {alias.version} cannot serve, it is {situation.state.state}"
        )
    if situation.scaled:
        raise PrerequisiteNotMetError(
            f"{name}: Application Auto Scaling sets its provisioned concurrency and would take "
            "back another number; change the minimum of its scalable target"
        )
    if situation.present is not None and situation.present.status == IN_PROGRESS:
        raise ResourceBusyError(f"{name}: provisioned concurrency is being allocated")


def _wanted(situation: Situation, present: int | None) -> int:
    """How many environments, as asked or as measured."""
    asked, limits = situation.asked, situation.limits
    if asked is not None:
        if situation.present is not None and asked == present:
            raise PrerequisiteNotMetError(_as_present(situation.name, situation.present))
        return asked
    seen = situation.cold_starts
    frequent = (
        seen.count >= limits.minimum_cold_starts
        and seen.percent >= limits.minimum_cold_start_percent
    )
    if not frequent:
        raise PrerequisiteNotMetError(
            f"nothing to do: {_headline(situation)} That is less than "
            f"{limits.minimum_cold_starts}, or than {limits.minimum_cold_start_percent} % of the "
            "invocations; to provision all the same, give parameters.provisioned_concurrency"
        )
    wanted = min(limits.provisioned_concurrency, max(1, math.ceil(situation.peak_concurrency)))
    if present is not None and wanted <= present:
        raise PrerequisiteNotMetError(
            f"nothing to do: {_headline(situation)} But {present} are provisioned already, and "
            f"{wanted} is what was measured or allowed; for another number give "
            "parameters.provisioned_concurrency"
        )
    return wanted


def _as_present(name: str, present: Allocation) -> str:
    if present.status == FAILED:
        return (
            f"{name}: Lambda could not allocate the {present.requested} that were asked for: "
            f"{present.status_reason}; ask for another number"
        )
    return f"nothing to do: {present.requested} are provisioned for {name} already"


def capacity_obstacles(
    wanted: int, headroom: Headroom, limits: OptimizeColdStartsLimits
) -> str | None:
    """Why there is not that much concurrency to provision; None if there is."""
    if headroom.reserved is not None:
        if wanted > headroom.reserved:
            return (
                f"{wanted} are more than the {headroom.reserved} that are reserved for the function"
            )
        return None
    left = headroom.unreserved - wanted
    if left < limits.minimum_unreserved_concurrency:
        return (
            f"{wanted} of {headroom.unreserved} unreserved concurrent executions would leave "
            f"{left}, and {limits.minimum_unreserved_concurrency} must stay for other functions"
        )
    return None


def _headline(situation: Situation) -> str:
    seen = situation.cold_starts
    part = "" if seen.complete else ", read in part"
    return (
        f"{seen.count} of {seen.invocations} invocations of {situation.name} started cold in "
        f"{situation.limits.look_back_seconds // 60} min{part}"
        + (f", 95 % of them within {seen.p95_milliseconds:.0f} ms." if seen.count else ".")
    )


def _reason(situation: Situation, present: int | None, wanted: int) -> str:
    why = (
        "as asked"
        if situation.asked is not None
        else f"as many as were busy at once (peak {situation.peak_concurrency:.0f}, at most "
        f"{situation.limits.provisioned_concurrency})"
    )
    instead = "" if present is None else f" instead of {present}"
    reason = (
        f"{_headline(situation)} Keep {wanted} environments of {situation.setup.memory_mb} MB "
        f"ready{instead}, {why}. That is {_gb_seconds_per_hour(situation, wanted):,} GB-seconds an "
        "hour, billed without traffic too, until it is given back."
    )
    if situation.setup.could_snap_start:
        reason += " SnapStart may cost less: the runtime has it, and it is off; it takes a release."
    return reason


def _gb_seconds_per_hour(situation: Situation, wanted: int) -> int:
    return round(wanted * situation.setup.memory_mb / 1_024 * 3_600)


def _evidence(situation: Situation, wanted: int) -> dict[str, Json]:
    seen = situation.cold_starts
    return {
        "look_back_seconds": situation.limits.look_back_seconds,
        "invocations": seen.invocations,
        "cold_starts": seen.count,
        "cold_start_percent": round(seen.percent, 2),
        "cold_start_p95_milliseconds": round(seen.p95_milliseconds, 1),
        "log_read": "all" if seen.complete else "in part, oldest first",
        "peak_concurrency": situation.peak_concurrency,
        "gb_seconds_per_hour": _gb_seconds_per_hour(situation, wanted),
        "snap_start_possible": situation.setup.could_snap_start,
    }


# --- after the change ---


def judge_allocation(call: PlannedCall, found: Allocation | None, *, final: bool) -> Verification:
    """Whether all that was asked for is allocated, or for a way back that none is.

    Parameters
    ----------
    final
        Whether this is the last look: what is not allocated then has failed.
    """
    wanted = call.after[PROVISIONED]
    requested = None if found is None else found.requested
    if requested != wanted:
        return Verification(
            verdict=Verdict.INCONCLUSIVE,
            reason=f"someone else has changed it since: {_shown(requested)} instead of "
            f"{_shown(wanted)}",
        )
    if found is None:
        return Verification(verdict=Verdict.PASSED, reason="nothing is provisioned any more")
    check = Check(
        name="environments allocated",
        observed=found.allocated,
        threshold=found.requested,
        samples=1,
        passed=found.status == READY and found.allocated == found.requested,
    )
    if check.passed:
        reason = f"{found.allocated} environments are allocated and {READY}"
        return Verification(verdict=Verdict.PASSED, reason=reason, checks=[check])
    reason = f"{found.allocated} of {found.requested} environments are allocated, {found.status}"
    if found.status_reason:
        reason += f": {found.status_reason}"
    over = final or found.status == FAILED
    return Verification(
        verdict=Verdict.FAILED if over else Verdict.PENDING, reason=reason, checks=[check]
    )


def _shown(number: int | None) -> str:
    return "nothing is provisioned" if number is None else f"{number} are provisioned"


class Served(Frozen):
    """How the invocations of a window were served.

    Parameters
    ----------
    warm
        On provisioned environments.
    spilled
        Beside them, because all were busy.
    samples
        Periods with invocations.
    periods, wanted_periods
        Complete periods there are since the change, and how many the window needs.
    """

    invocations: float
    warm: float
    spilled: float
    samples: int
    minimum_samples: int
    periods: int
    wanted_periods: int

    @property
    def other_percent(self) -> float:
        """Share that did not run on provisioned environments, so may have started cold."""
        if not self.invocations:
            return 0.0
        return 100 * max(0.0, self.invocations - self.warm) / self.invocations


def judge(
    allocation: Verification, served: Served, *, before_percent: float, final: bool
) -> Verification:
    """Whether the invocations start warm now, once all is allocated.

    Without traffic there is nothing to measure: the last look goes by the allocation, and says so.

    Parameters
    ----------
    allocation
        Its passed verification.
    before_percent
        Share of cold starts before.
    """
    whole = served.periods >= served.wanted_periods
    other = served.other_percent
    fewer = other == 0 or other < before_percent
    quiet = served.spilled == 0 and fewer
    checks = [
        *allocation.checks,
        Check(
            name="invocations that spilled over",
            observed=served.spilled,
            threshold=0,
            samples=served.samples,
            passed=whole and served.spilled == 0,
        ),
        Check(
            name="invocations beside provisioned environments, in percent",
            observed=round(other, 2),
            threshold=round(before_percent, 2),
            samples=served.samples,
            passed=whole and fewer,
        ),
    ]
    measured = (
        f"{served.invocations:.0f} invocations in {served.periods} of {served.wanted_periods} "
        f"periods, {served.spilled:.0f} spilled over, {other:.1f} % beside provisioned "
        f"environments ({before_percent:.1f} % cold before)"
    )
    if not served.invocations and final and whole:
        measured = "no traffic to measure: judged by the allocation alone"
    return Verification(
        verdict=_verdict(served, whole=whole, quiet=quiet, final=final),
        reason=f"{allocation.reason}; {measured}",
        checks=checks,
    )


def _verdict(served: Served, *, whole: bool, quiet: bool, final: bool) -> Verdict:
    busy = served.samples >= served.minimum_samples
    if whole and busy and quiet:
        return Verdict.PASSED
    if not final:
        return Verdict.PENDING
    if quiet and whole:
        return Verdict.PASSED
    # A few invocations say too little to take the change back.
    return Verdict.FAILED if whole and busy else Verdict.INCONCLUSIVE


def undo_obstacles(
    calls: Sequence[PlannedCall], headroom: Headroom, limits: OptimizeColdStartsLimits
) -> list[str]:
    """Why what was provisioned before cannot be provisioned again.

    Parameters
    ----------
    calls
        The way back. One that leads to less needs no room.
    """
    found = []
    for call in calls:
        earlier, now = call.after[PROVISIONED], call.before[PROVISIONED]
        if earlier is not None and earlier > (now or 0):
            obstacle = capacity_obstacles(earlier, headroom, limits)
            found += [obstacle] if obstacle else []
    return found

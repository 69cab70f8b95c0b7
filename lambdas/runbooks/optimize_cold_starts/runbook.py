"""Declaration of `optimize_cold_starts`: pure data, safe to import at synth."""

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import LambdaFunction


class OptimizeColdStartsLimits(Limits):
    """Limits of this runbook. What it provisions is billed for as long as it stands."""

    provisioned_concurrency: int = limit(
        10, 1, 3_000, "most environments that are kept ready for one alias; each is billed"
    )
    look_back_seconds: int = limit(3_600, 1, 10_800, "how far back cold starts are counted")
    minimum_cold_starts: int = limit(
        5, 1, 100_000, "cold starts in that time below which nothing is provisioned"
    )
    minimum_cold_start_percent: int = limit(
        1, 1, 100, "their share of the invocations below which nothing is provisioned"
    )
    minimum_unreserved_concurrency: int = limit(
        100, 100, 100_000, "concurrency that stays for other functions; Lambda insists on 100"
    )
    # Lambda allocates for minutes, the more the longer.
    poll_interval_seconds: int = limit(10, 1, 300, "first wait for the allocation; grows")
    verify_attempts: int = limit(8, 1, 120, "verifications before the answer is final")
    mitigation_lease_seconds: int = limit(
        86_400, 60, 2_592_000, "when provisioned concurrency is due to be given back"
    )


class OptimizeColdStartsParameters(Frozen):
    """What a person may set.

    Parameters
    ----------
    provisioned_concurrency
        Environments to keep ready, however many cold starts there were. If left out, as many as
        were busy at once at the peak of the look-back, but only where cold starts are frequent.
    """

    provisioned_concurrency: int | None = None


RUNBOOK = Runbook(
    name="optimize_cold_starts",
    title="Lambda cold starts",
    category="Performance optimization",
    severity=Severity.P2,
    target=LambdaFunction(),
    parameters=OptimizeColdStartsParameters,
    example={"provisioned_concurrency": 2},
    limits=OptimizeColdStartsLimits(),
    mode=Mode.ACT,
    keep_when_ineffective=False,
    source="Operations Runbook, Performance Optimization, Optimize Lambda Cold Starts",
    deviations=(
        "Concurrency is provisioned for the alias that serves the traffic: Lambda provisions none "
        "for `$LATEST`, which the procedure names (and which its shell replaces by nothing).",
        "How many environments comes from the concurrency that was measured, within a limit, not "
        "always 5; and only where cold starts are frequent, unless a person gives the number.",
        "It is billed without traffic too, so it is a mitigation with a date to give it back, and "
        "the plan says how many GB-seconds an hour it keeps ready. Prices differ by Region and "
        "change: the plan names none.",
        "Cold starts are counted from Lambda's reports in the log, of the version behind the "
        "alias; of a busy function in part, oldest first, and the plan says so.",
        'Instead of "feels more responsive": all is allocated, no invocation spilled over, and the '
        "share that did not run on provisioned environments is below the share of cold starts "
        "before. The log cannot tell afterwards: an environment that was started ahead still "
        "reports its `Init Duration` with its first invocation. Without traffic the allocation "
        "alone is judged, and the answer says so.",
        "SnapStart, which may cost less, is only advised, where the runtime has it: it takes a "
        "new published version, which is a release, with all that releases are checked for.",
        "Package size and arm64 are builds, not calls: `--architectures` is no option of "
        "update-function-configuration, and native code must be built for arm64.",
    ),
)

"""Declaration of `system_outage`: pure data, safe to import at synth."""

from lambdas.remediation.alarms import OutageAlarm
from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import Outage


class SystemOutageLimits(Limits):
    """Limits of this runbook. What its children may do is bounded by their own limits."""

    child_rounds: int = limit(
        3, 1, 5, "runbooks that one run tries, one after another, while the outage lasts"
    )
    error_rate_percent: int = limit(
        5, 1, 100, "requests answered with 5XX, in percent, that are too many"
    )
    minimum_requests: int = limit(
        20, 1, 100_000, "requests of an API in the window below which a rate says nothing"
    )
    release_look_back_seconds: int = limit(
        3_600, 60, 86_400, "age up to which a release counts as recent, so as the likely cause"
    )
    status_interval_seconds: int = limit(
        900, 60, 86_400, "pause between two messages on how it stands, while the run goes on"
    )
    # Once per round; the run that is joined tells people by itself, whatever becomes of it.
    join_interval_seconds: int = limit(90, 1, 600, "first wait for the run that was joined; grows")
    join_attempts: int = limit(15, 1, 200, "looks at the joined run before the next runbook")
    # The procedure watches for an hour.
    hold_checks: int = limit(12, 0, 48, "looks at a healed platform before the run ends")


RUNBOOK = Runbook(
    name="system_outage",
    title="System outage",
    category="Incident response",
    severity=Severity.P0,
    target=Outage(),
    triggers=(OutageAlarm(),),
    children=("api_gateway_errors", "dynamodb_throttling", "lambda_errors"),
    limits=SystemOutageLimits(),
    mode=Mode.ACT,
    keep_when_ineffective=True,
    source="Operations Runbook, Incident Response, Complete System Outage",
    deviations=(
        "The procedure is a list of things to look at, without a command or an end. Here the red "
        "alarms, the release ledger and the stacks' operations are read at the same time, and the "
        "newest change behind a red alarm is the first suspect.",
        "Nothing is changed by this runbook itself. It starts the runbook of the suspect, one at a "
        "time, measures whether the APIs answer again, and only then starts the next. Each has its "
        "own guard, limits and undo.",
        "While CloudFormation deploys, nothing is started: the deployment has its own way back.",
        "It never fails over to another Region: that needs a plan and a person. The product lives "
        "in one Region and cannot act when that is down.",
        "AWS Health is not asked: its API needs a paid support plan. Look at the AWS Health "
        "Dashboard when nothing of the platform has changed.",
        "How it stands is told on a cadence while the run goes on, instead of by hand.",
        "Healed means that few enough requests of every API fail and that the functions with a "
        "smoke event answer it. It is then watched for an hour.",
        "The incident report is the closing message and the run record: alarms, suspects, what "
        "each runbook did and when, how it is known to be over. The lessons are left to people.",
    ),
)

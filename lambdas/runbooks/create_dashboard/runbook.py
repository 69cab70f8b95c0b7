"""Declaration of `create_dashboard`: pure data, safe to import at synth."""

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import CloudWatchDashboard


class CreateDashboardLimits(Limits):
    """Limits of this runbook."""

    # A dashboard serves nobody's requests: it may be written again soon.
    max_changes_per_hour: int = limit(4, 1, 20, "writes of one dashboard in a clock hour")
    cool_down_seconds: int = limit(60, 0, 86_400, "pause on a dashboard after a write")
    # What is looked at does not need traffic: it is there, or not yet.
    verify_interval_seconds: int = limit(5, 1, 600, "wait between two verifications")
    verify_attempts: int = limit(6, 1, 120, "verifications before the answer is final")
    hold_checks: int = limit(0, 0, 48, "looks at a written dashboard; it cannot turn bad again")
    mitigation_lease_seconds: int = limit(
        2_592_000, 60, 2_592_000, "when a person is reminded of the undo; a dashboard may well stay"
    )
    graph_period_seconds: int = limit(
        300, 60, 86_400, "period of the graphs where a run asks for none; a multiple of 60"
    )


class CreateDashboardParameters(Frozen):
    """What a person may set.

    Parameters
    ----------
    period_seconds
        Period of all graphs: a multiple of 60, from 60 to 86,400.
    """

    period_seconds: int | None = None


RUNBOOK = Runbook(
    name="create_dashboard",
    title="CloudWatch dashboard",
    category="Monitoring and alerting",
    severity=Severity.P2,
    target=CloudWatchDashboard(),
    parameters=CreateDashboardParameters,
    example={"period_seconds": 300},
    limits=CreateDashboardLimits(),
    mode=Mode.ACT,
    keep_when_ineffective=False,
    source="Operations Runbook, Monitoring and Alerting, Create Custom CloudWatch Dashboard",
    deviations=(
        "The body is made from the platform file, the same for the same file: a widget of "
        "`Invocations` without dimensions shows the sum of the Region, and names no function.",
        "What was there before is recorded, whole: PutDashboard replaces everything. Undo puts it "
        "back to the letter, or deletes a dashboard that was not there.",
        "The plan shows a body by its SHA-256 and compressed, and its graphs by title: what it "
        "takes to put the old body back must fit into the run's record. A dashboard that is too "
        "large for that is left alone.",
        "A call that CloudWatch answers with validation messages has failed, and is taken back: "
        "it says so of widgets that cannot be shown, although the dashboard was stored.",
        '"Visible in the console" is checked by reading the dashboard back and comparing it. '
        "Whether metrics have data is not: a function without errors has none.",
    ),
)

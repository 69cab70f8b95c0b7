"""Declaration of `dynamodb_throttling`: pure data, safe to import at synth."""

from lambdas.remediation.alarms import TableThrottleAlarm
from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import DynamoDbTable


class DynamoDbThrottlingLimits(Limits):
    """Limits of this runbook. Capacity is per second, of each table and each index by itself.

    Notes
    -----
    New capacity = `capacity_growth_percent` of the old, or `consumption_headroom_percent` of the
    busiest period's consumption at `target_utilization_percent`, whichever is more; never above
    `max_capacity_units`. DynamoDB rations decreases, not increases ("Quotas in Amazon DynamoDB").
    """

    max_capacity_units: int = limit(
        4_000, 1, 40_000, "highest read or write capacity this runbook sets"
    )
    max_read_request_units: int = limit(
        4_000, 1, 40_000, "highest on-demand read maximum this runbook sets"
    )
    max_write_request_units: int = limit(
        4_000, 1, 40_000, "highest on-demand write maximum this runbook sets"
    )
    capacity_growth_percent: int = limit(200, 110, 1_000, "new capacity in percent of the old")
    consumption_headroom_percent: int = limit(
        150, 100, 500, "consumption to plan for in percent of the busiest period's"
    )
    target_utilization_percent: int = limit(70, 20, 90, "consumption in percent of new capacity")
    throttled_requests_per_period: int = limit(
        1, 1, 100_000, "throttle events in a period that make it a bad one for the alarm"
    )
    max_decreases_per_day: int = limit(
        4, 1, 27, "decreases of a table or index in a UTC day, after which none is taken back"
    )


class DynamoDbThrottlingParameters(Frozen):
    """What a person may set.

    Parameters
    ----------
    max_capacity_units
        Own ceiling for this run, at most the limit of the same name. It also rules out the switch
        to on-demand, which would have no ceiling at all.
    """

    max_capacity_units: int | None = None


RUNBOOK = Runbook(
    name="dynamodb_throttling",
    title="DynamoDB throttling",
    category="Incident response",
    severity=Severity.P0,
    target=DynamoDbTable(),
    parameters=DynamoDbThrottlingParameters,
    example={"max_capacity_units": 400},
    triggers=(TableThrottleAlarm(),),
    children=("back_up_dynamodb_table",),
    limits=DynamoDbThrottlingLimits(),
    options={
        "allow_on_demand": False,
        "allow_contributor_insights": False,
        "back_up_first": False,
    },
    mode=Mode.ACT,
    keep_when_ineffective=True,
    source="Operations Runbook, Incident Response, DynamoDB Throttling",
    deviations=(
        "Alarm and verification use `ReadThrottleEvents` and `WriteThrottleEvents`, not "
        "`UserErrors`: that metric leaves throttling out, and counts the whole account and Region.",
        "Each index is watched by itself: the metrics of a table do not count its indexes.",
        "The cause is read first. Against a hot key range or the account's limit, more capacity "
        "does not help: nothing is changed and a person gets the evidence.",
        "New capacity follows from what is there and what was consumed, not a fixed 100 / 100, "
        "which can be a decrease. It is never lower than before and never above the ceiling.",
        "Writes of a table and its indexes are raised together: an index that cannot keep up "
        "throttles the writes of its table.",
        "Where Application Auto Scaling rules a table, its minimum is raised, not the table: it "
        "would scale a raised table in again.",
        "A table without a `BillingModeSummary` counts as provisioned: DescribeTable leaves the "
        "summary out until the table was on demand once.",
        "The switch to on-demand comes last and only with the option `allow_on_demand`: it has no "
        "ceiling, and DynamoDB allows four switches in 24 hours.",
        "After the change the run waits until table and indexes are ACTIVE with the new values: "
        "UpdateTable only begins the change.",
        "Verification needs traffic. Silence after a change is `inconclusive`, never healed.",
        "A change that did not help stays (`ineffective`): more capacity does no harm, and "
        "DynamoDB rations decreases. The undo command is in the message.",
        'The "Long-term Solution" (access patterns, queries, caching, auto scaling) is not '
        "automated: it needs a person who knows the application.",
    ),
)

"""Declaration of `optimize_dynamodb_queries`: pure data, safe to import at synth."""

from dataclasses import field
from enum import StrEnum

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import DynamoDbTable


class InsightsSetting(StrEnum):
    """Which keys Contributor Insights counts."""

    THROTTLED_KEYS = "throttled_keys"
    ACCESSED_AND_THROTTLED_KEYS = "accessed_and_throttled_keys"
    OFF = "off"


class KeyType(StrEnum):
    """Type of a key attribute: string, number or binary."""

    S = "S"
    N = "N"
    B = "B"


class NewIndex(Frozen):
    """A global secondary index to create; without `include` it holds keys only."""

    index_name: str
    partition_key: str
    partition_key_type: KeyType
    sort_key: str | None = None
    sort_key_type: KeyType | None = None
    include: list[str] = field(default_factory=list)


class OptimizeDynamoDbQueriesLimits(Limits):
    """Limits of this runbook. An index costs storage, and capacity of its own."""

    max_index_capacity_units: int = limit(
        1_000, 1, 40_000, "read or write capacity a new index may get, copied from its table"
    )
    max_included_attributes: int = limit(
        10, 0, 20, "attributes that a new index may hold beside its keys"
    )
    # Filling an index takes minutes for a small table, hours for a large one.
    poll_interval_seconds: int = limit(60, 1, 300, "first wait for DynamoDB to get there; grows")
    poll_attempts: int = limit(61, 1, 200, "looks at an index before the run lets go of it")
    # What is looked at does not need traffic: it is there, or not yet.
    verify_interval_seconds: int = limit(30, 1, 600, "wait between two verifications")
    verify_attempts: int = limit(30, 1, 120, "verifications before the answer is final")
    hold_checks: int = limit(0, 0, 48, "looks at a finished index; it cannot turn bad again")
    mitigation_lease_seconds: int = limit(
        1_209_600, 60, 2_592_000, "when a person is reminded that the change is still there"
    )


class OptimizeDynamoDbQueriesParameters(Frozen):
    """What a person may set: `insights`, `index`, or both. Observe without either reports only.

    Parameters
    ----------
    insights
        `throttled_keys`, `accessed_and_throttled_keys` or `off`: what CloudWatch Contributor
        Insights counts.
    show_keys
        `true` is the consent that insights needs: keys appear in CloudWatch as they are, and may be
        personal data.
    index
        One global secondary index to create: `index_name`, `partition_key`, `partition_key_type`
        (`S`, `N` or `B`); optional `sort_key` with `sort_key_type`, and `include`, a list of
        attributes to hold beside the keys. Keys only without it.
    """

    insights: InsightsSetting | None = None
    show_keys: bool | None = None
    index: NewIndex | None = None


RUNBOOK = Runbook(
    name="optimize_dynamodb_queries",
    title="DynamoDB queries",
    category="Performance",
    severity=Severity.P2,
    target=DynamoDbTable(),
    parameters=OptimizeDynamoDbQueriesParameters,
    example={"insights": "throttled_keys", "show_keys": True},
    limits=OptimizeDynamoDbQueriesLimits(),
    # An index costs money every hour, and one beside the template is drift: a person says yes.
    mode=Mode.PROPOSE,
    keep_when_ineffective=False,
    source="Operations Runbook, Performance Optimization, Optimize DynamoDB Queries",
    deviations=(
        "Contributor Insights shows keys as they are to everybody who may read CloudWatch: it is "
        "switched on with `show_keys` only. The report of this runbook has digests of keys.",
        "An index gets the capacity of its table. Without any, DynamoDB refuses it on a "
        "provisioned table; with less, it throttles the writes of the table.",
        "An index holds its keys, or the attributes that are named. `ALL` doubles what writes and "
        "storage cost, and is never chosen here.",
        "An index on a table that scales by itself is refused: it would not scale along. Make it "
        "in the application's template, together with its scaling.",
        "The run waits until the index is ACTIVE and filled: before that, queries miss items. No "
        "query is sent to prove it: the roles may not read the table's data.",
        "Latency and consumed read capacity, before and after, are reported and not judged: no "
        "query uses a new index until the application does, and insights make none faster.",
        "Undo deletes the index only while nothing reads it.",
        "A later deployment of the table's template does not know the index: put it there too.",
        "Log lines are not searched for slow queries (step 2): there is no such line unless the "
        "application writes it. Caching (step 4) is the application's own affair, and an unbounded "
        "`Map` in a function leaks and serves stale data.",
    ),
)

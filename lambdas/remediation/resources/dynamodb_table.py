"""Throughput settings of a DynamoDB table and of its global secondary indexes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.errors import ResourceBusyError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading

UPDATE_TABLE = "dynamodb:UpdateTable"
PROVISIONED = "PROVISIONED"
PAY_PER_REQUEST = "PAY_PER_REQUEST"
ACTIVE = "ACTIVE"
BILLING_MODE = "BillingMode"
CAPACITY = ("ReadCapacityUnits", "WriteCapacityUnits")
ON_DEMAND_MAXIMUM = ("MaxReadRequestUnits", "MaxWriteRequestUnits")


class TableOrIndex(Frozen):
    """One holder of throughput: the table itself (`index_name` None) or one of its indexes.

    Capacity is None on demand, a maximum is None when there is none; both are per second.
    """

    index_name: str | None = None
    status: str = ACTIVE
    read_capacity_units: int | None = None
    write_capacity_units: int | None = None
    max_read_request_units: int | None = None
    max_write_request_units: int | None = None
    number_of_decreases_today: int | None = None

    @property
    def label(self) -> str:
        """`table`, or `index <name>`."""
        return "table" if self.index_name is None else f"index {self.index_name}"

    def key(self, setting: str) -> str:
        """Name of one of its settings in a planned call's `before` and `after`."""
        return setting if self.index_name is None else f"index/{self.index_name}/{setting}"

    def settings(self) -> dict[str, int | None]:
        """Every setting by the name that `key` gives it."""
        return {
            self.key("ReadCapacityUnits"): self.read_capacity_units,
            self.key("WriteCapacityUnits"): self.write_capacity_units,
            self.key("MaxReadRequestUnits"): self.max_read_request_units,
            self.key("MaxWriteRequestUnits"): self.max_write_request_units,
        }


class TableDescription(Frozen):
    """A table as DescribeTable tells it; the table itself leads `table_and_indexes`."""

    table_name: str
    table_arn: str
    billing_mode: str
    table_and_indexes: tuple[TableOrIndex, ...]
    last_update_to_pay_per_request_at: datetime | None = None
    replica_regions: tuple[str, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether no update of the table or of an index is under way."""
        return all(p.status == ACTIVE for p in self.table_and_indexes)

    def settings(self) -> dict[str, Any]:
        """Billing mode and every setting of table and indexes, by planned-call key."""
        found: dict[str, Any] = {BILLING_MODE: self.billing_mode}
        for part in self.table_and_indexes:
            found.update(part.settings())
        return found

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """Present values of exactly the keys of an UpdateTable call."""
        found = self.settings()
        return {key: found.get(key) for key in call.after}


def update_table_arguments(table: TableDescription, after: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the one UpdateTable call that leads to `after`.

    Only what differs is named: DynamoDB refuses equal values. Reads and writes go together in the
    API, so the dimension that is not to change is sent as it is.

    Parameters
    ----------
    table
        The table as it is now.
    after
        Wanted values, by planned-call key.
    """
    arguments: dict[str, Any] = {"TableName": table.table_name}
    if after.get(BILLING_MODE, table.billing_mode) != table.billing_mode:
        arguments[BILLING_MODE] = after[BILLING_MODE]
    updates = []
    for part in table.table_and_indexes:
        throughput = _throughput(part, after)
        if part.index_name is None:
            arguments.update(throughput)
        elif throughput:
            updates.append({"Update": {"IndexName": part.index_name, **throughput}})
    if updates:
        arguments["GlobalSecondaryIndexUpdates"] = updates
    return arguments


def _throughput(part: TableOrIndex, after: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    now = part.settings()
    found = {}
    for argument, names in (
        ("ProvisionedThroughput", CAPACITY),
        ("OnDemandThroughput", ON_DEMAND_MAXIMUM),
    ):
        wanted = {n: after.get(part.key(n), now[part.key(n)]) for n in names}
        set_now = {n: v for n, v in wanted.items() if v is not None}
        if any(v != now[part.key(n)] for n, v in set_now.items()):
            found[argument] = set_now
    return found


class DynamoDbTables:
    """Reads and updates tables.

    Parameters
    ----------
    client
        boto3 client of DynamoDB.
    """

    service: ClassVar[str] = "dynamodb"
    apis: ClassVar[tuple[str, ...]] = (UPDATE_TABLE,)

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, table_name: str) -> TableDescription:
        """Describe a table.

        Raises
        ------
        TargetNotFoundError
            There is no such table.
        """
        with reading(f"table {table_name}"):
            found = self._client.describe_table(TableName=table_name)["Table"]
        # The summary is absent until a table was on-demand once.
        billing = found.get("BillingModeSummary", {})
        switched = billing.get("LastUpdateToPayPerRequestDateTime")
        mode = billing.get("BillingMode") or PROVISIONED
        indexes = found.get("GlobalSecondaryIndexes", ())
        return TableDescription(
            table_name=found["TableName"],
            table_arn=found["TableArn"],
            billing_mode=mode,
            table_and_indexes=(
                _part(found, found["TableStatus"], mode),
                *(_part(i, i.get("IndexStatus", ACTIVE), mode) for i in indexes),
            ),
            last_update_to_pay_per_request_at=switched and switched.astimezone(UTC),
            replica_regions=tuple(r["RegionName"] for r in found.get("Replicas", ())),
        )

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """Present values of the call's keys.

        Raises
        ------
        ResourceBusyError
            An update is under way: DescribeTable then shows some values old and some new, which
            would look like someone else's change.
        """
        table = self.read(_table_name(call))
        if not table.settled:
            raise ResourceBusyError(f"{call.resource}: an update is under way, look again later")
        return table.present(call)

    def apply(self, call: PlannedCall) -> None:
        """Make one UpdateTable call, so that the present values become `call.after`."""
        table = self.read(_table_name(call))
        arguments = update_table_arguments(table, call.after)
        if len(arguments) == 1:
            return
        with changing(call, self.present):
            self._client.update_table(**arguments)

    def contributor_insights_rules(self, table_name: str, index_name: str | None) -> list[str]:
        """Names of the Contributor Insights rules of a table or index; empty unless enabled."""
        arguments = {"TableName": table_name}
        if index_name is not None:
            arguments["IndexName"] = index_name
        with reading(f"Contributor Insights of {table_name}"):
            found = self._client.describe_contributor_insights(**arguments)
        if found.get("ContributorInsightsStatus") != "ENABLED":
            return []
        return list(found.get("ContributorInsightsRuleList", ()))


def _table_name(call: PlannedCall) -> str:
    return call.resource.rpartition("/")[2]


def _part(found: Mapping[str, Any], status: str, billing_mode: str) -> TableOrIndex:
    provisioned = found.get("ProvisionedThroughput", {})
    maximum = found.get("OnDemandThroughput", {})
    # On demand DynamoDB reports 0 and 0, which is no capacity that one could go back to.
    capacity = provisioned if billing_mode == PROVISIONED else {}
    return TableOrIndex(
        index_name=found.get("IndexName"),
        status=status,
        read_capacity_units=capacity.get("ReadCapacityUnits"),
        write_capacity_units=capacity.get("WriteCapacityUnits"),
        max_read_request_units=_maximum(maximum.get("MaxReadRequestUnits")),
        max_write_request_units=_maximum(maximum.get("MaxWriteRequestUnits")),
        number_of_decreases_today=provisioned.get("NumberOfDecreasesToday"),
    )


def _maximum(value: int | None) -> int | None:
    # -1 is DynamoDB's way of saying that no maximum is set.
    return None if value in (None, -1) else value

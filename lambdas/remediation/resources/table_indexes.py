"""Global secondary indexes of DynamoDB tables: described, created, deleted."""

from collections.abc import Mapping
from typing import Any, ClassVar

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading

UPDATE_TABLE = "dynamodb:UpdateTable"
ACTIVE = "ACTIVE"
DELETING = "DELETING"
PROVISIONED = "PROVISIONED"
KEYS_ONLY = "KEYS_ONLY"
INCLUDE = "INCLUDE"
_CAPACITY = ("ReadCapacityUnits", "WriteCapacityUnits")
_ON_DEMAND_MAXIMUM = ("MaxReadRequestUnits", "MaxWriteRequestUnits")

# What an index is, in the words of a planned call: `keys` as `name type HASH|RANGE`, `projection`,
# and the `included` attributes.
Definition = dict[str, Any]


class Index(Frozen):
    """An index as DescribeTable tells it."""

    definition: Definition
    status: str = ACTIVE
    backfilling: bool = False

    @property
    def ready(self) -> bool:
        """Whether all items are in it, so that queries may use it."""
        return self.status == ACTIVE and not self.backfilling


class IndexedTable(Frozen):
    """A table as far as a new index depends on it.

    Parameters
    ----------
    attribute_types
        Key attributes of the table and of its indexes, with `S`, `N` or `B`.
    throughput
        Arguments of the table's own throughput: `ProvisionedThroughput` on a provisioned table,
        `OnDemandThroughput` where an on-demand one has a maximum.
    """

    table_name: str
    table_arn: str
    status: str
    attribute_types: dict[str, str]
    indexes: dict[str, Index]
    throughput: dict[str, dict[str, int]]

    @property
    def settled(self) -> bool:
        """Whether no update of the table or of an index is under way."""
        return self.status == ACTIVE and all(i.status == ACTIVE for i in self.indexes.values())


def definition(keys: Mapping[str, str], included: tuple[str, ...] = ()) -> Definition:
    """What an index is.

    Parameters
    ----------
    keys
        Partition key and, if any, sort key: name to type, in that order.
    included
        Attributes that it holds beside the keys.
    """
    kinds = ("HASH", "RANGE")
    return {
        "keys": [
            f"{name} {kind} {k}" for (name, kind), k in zip(keys.items(), kinds, strict=False)
        ],
        "projection": INCLUDE if included else KEYS_ONLY,
        "included": sorted(included),
    }


def create_index(table: IndexedTable, index_name: str, wanted: Definition) -> PlannedCall:
    """The call that creates an index; its inverse deletes the index."""
    return PlannedCall(
        api=UPDATE_TABLE,
        resource=table.table_arn,
        arguments=_create_arguments(table, index_name, wanted),
        before={_key(index_name): None},
        after={_key(index_name): wanted},
    )


def index_name_of(call: PlannedCall) -> str:
    """Name of the index that a planned call is about."""
    return next(iter(call.after)).removeprefix("index/")


class TableIndexes:
    """Reads, creates and deletes global secondary indexes.

    Parameters
    ----------
    client
        Client of DynamoDB.
    """

    service: ClassVar[str] = "dynamodb"
    apis: ClassVar[tuple[str, ...]] = (UPDATE_TABLE,)

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, table_name: str) -> IndexedTable:
        """Describe a table with its indexes.

        Raises
        ------
        TargetNotFoundError
            There is no such table.
        """
        with reading(f"table {table_name}"):
            found = self._client.describe_table(TableName=table_name)["Table"]
        types = {a["AttributeName"]: a["AttributeType"] for a in found["AttributeDefinitions"]}
        return IndexedTable(
            table_name=found["TableName"],
            table_arn=found["TableArn"],
            status=found["TableStatus"],
            attribute_types=types,
            indexes={
                index["IndexName"]: Index(
                    definition=_described(index, types),
                    status=index.get("IndexStatus", ACTIVE),
                    backfilling=index.get("Backfilling", False),
                )
                for index in found.get("GlobalSecondaryIndexes", ())
            },
            throughput=_throughput(found),
        )

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """What the call's index is, also while it is being created; None once it goes."""
        name = index_name_of(call)
        found = self.read(_table_name(call)).indexes.get(name)
        gone = found is None or found.status == DELETING
        return {_key(name): None if gone or found is None else found.definition}

    def apply(self, call: PlannedCall) -> None:
        """Begin to create or delete the call's index: DynamoDB does either in its own time."""
        name, wanted = index_name_of(call), call.after[_key(index_name_of(call))]
        if wanted is None:
            arguments: dict[str, Any] = {
                "TableName": _table_name(call),
                "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": name}}],
            }
        else:
            # An inverse has no arguments: they follow from the index and the table.
            arguments = call.arguments or _create_arguments(
                self.read(_table_name(call)), name, wanted
            )
        with changing(call, self.present):
            self._client.update_table(**arguments)


def _create_arguments(table: IndexedTable, index_name: str, wanted: Definition) -> dict[str, Any]:
    keys = [key.rsplit(" ", 2) for key in wanted["keys"]]
    projection: dict[str, Any] = {"ProjectionType": wanted["projection"]}
    if wanted["included"]:
        projection["NonKeyAttributes"] = wanted["included"]
    create = {
        "IndexName": index_name,
        "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, _, kind in keys],
        "Projection": projection,
        **table.throughput,
    }
    return {
        "TableName": table.table_name,
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": attribute_type}
            for name, attribute_type, _ in keys
        ],
        "GlobalSecondaryIndexUpdates": [{"Create": create}],
    }


def _described(index: Mapping[str, Any], types: Mapping[str, str]) -> Definition:
    projection = index.get("Projection", {})
    return {
        "keys": [
            f"{k['AttributeName']} {types.get(k['AttributeName'])} {k['KeyType']}"
            for k in index["KeySchema"]
        ],
        "projection": projection.get("ProjectionType"),
        "included": sorted(projection.get("NonKeyAttributes", ())),
    }


def _throughput(found: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    # The summary is absent until a table was on-demand once.
    mode = found.get("BillingModeSummary", {}).get("BillingMode") or PROVISIONED
    if mode == PROVISIONED:
        own = found["ProvisionedThroughput"]
        return {"ProvisionedThroughput": {unit: own[unit] for unit in _CAPACITY}}
    own = found.get("OnDemandThroughput", {})
    # -1 is DynamoDB's way of saying that no maximum is set.
    maximum = {unit: own[unit] for unit in _ON_DEMAND_MAXIMUM if own.get(unit, -1) != -1}
    return {"OnDemandThroughput": maximum} if maximum else {}


def _key(index_name: str) -> str:
    return f"index/{index_name}"


def _table_name(call: PlannedCall) -> str:
    return call.resource.rpartition("/")[2]

"""DynamoDB rations capacity decreases and tells the whole truth about a table's capacity.

MiniStack counts no decreases, always describes a ``BillingModeSummary``, accepts an index update
that changes nothing, and goes back to provisioned capacity without being told the indexes'
capacity. Source: "Service, account, and table quotas in Amazon DynamoDB" (Developer Guide).
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import dynamodb
from ministack.services.cloudformation import provisioners

from local.engine.decrease_quota import FREE_PER_DAY, decreases_today, may_decrease

PATCHES: tuple[str, ...] = (
    "ministack.core.responses.error_response_json",
    "ministack.core.responses.json_response",
    "ministack.services.dynamodb._normalize_table_name",
    "ministack.services.dynamodb._table_description",
    "ministack.services.dynamodb._tables",
    "ministack.services.dynamodb._update_table",
    "ministack.services.cloudformation.provisioners._ddb_update_call",
)

_UNITS = ("ReadCapacityUnits", "WriteCapacityUnits")
_NOTHING = dict.fromkeys(_UNITS, 0)
_TABLE = ""
# Kept on the table's own record, so that they end with the table.
_CHANGES = "_CapacityChanges"
_ON_DEMAND_SINCE = "_OnDemandSince"

Table = dict[str, Any]
Capacity = Mapping[str, Any]

_updating = threading.Lock()


class RefusedUpdateError(Exception):
    """An update DynamoDB refuses."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def install() -> None:
    """Check and count around UpdateTable; complete every description."""
    update = dynamodb._update_table
    describe = dynamodb._table_description

    def update_within_quota(request: dict[str, Any]) -> Any:
        table = dynamodb._tables.get(dynamodb._normalize_table_name(request.get("TableName")))
        if table is None:
            return update(request)
        with _updating:
            changes = list(_changes(table, request))
            try:
                _refuse(table, request, changes)
            except RefusedUpdateError as error:
                return error_response_json(error.code, str(error), 400)
            on_demand_since = _on_demand_since(table)
            # The indexes of a template are the stack's own properties; an update by API must
            # not change what the stack believes it deployed.
            table["GlobalSecondaryIndexes"] = copy.deepcopy(table["GlobalSecondaryIndexes"])
            response = update(request)
            if response[0] == 200:
                _count(table, changes)
                _keep_on_demand_time(table, request, on_demand_since)
                # Described once more: the answer was built before this update was counted.
                described = describe_capacity(table["TableName"])
                response = json_response({"TableDescription": described})
        return response

    def describe_capacity(name: str) -> dict[str, Any]:
        return _complete(dynamodb._tables[name], describe(name))

    dynamodb._update_table = update_within_quota
    dynamodb._table_description = describe_capacity
    _name_indexes_in_stack_updates()


def _name_indexes_in_stack_updates() -> None:
    """CloudFormation gives the indexes' capacity when it goes back to provisioned, as on AWS."""
    call = provisioners._ddb_update_call

    def call_with_indexes(request: dict[str, Any]) -> None:
        if request.get("BillingMode") == "PROVISIONED":
            table = dynamodb._tables[request["TableName"]]
            updates = [
                {"Update": {"IndexName": name, "ProvisionedThroughput": capacity}}
                for name, index in _indexes(table).items()
                if (capacity := index.get("ProvisionedThroughput"))
            ]
            request = {**request, "GlobalSecondaryIndexUpdates": updates}
        call(request)

    provisioners._ddb_update_call = call_with_indexes


# --- what an update changes ---------------------------------------------------------------------


def _billing_mode(table: Capacity) -> str:
    return (table.get("BillingModeSummary") or {}).get("BillingMode", "PROVISIONED")


def _indexes(table: Capacity) -> dict[str, Capacity]:
    return {index["IndexName"]: index for index in table.get("GlobalSecondaryIndexes") or ()}


def _changes(table: Table, request: dict[str, Any]) -> Iterator[tuple[str, Capacity, Capacity]]:
    """Yield what (the table, or an index by name), its capacity and the wanted one."""
    if _billing_mode(table) != "PROVISIONED":
        return  # capacity given with a switch of the mode is no change of capacity
    if request.get("ProvisionedThroughput"):
        yield _TABLE, table["ProvisionedThroughput"], request["ProvisionedThroughput"]
    indexes = _indexes(table)
    for update in _index_updates(request):
        index = indexes.get(update["IndexName"])
        if index is not None and update.get("ProvisionedThroughput"):
            old = index.get("ProvisionedThroughput") or _NOTHING
            yield update["IndexName"], old, update["ProvisionedThroughput"]


def _index_updates(request: dict[str, Any]) -> list[dict[str, Any]]:
    updates = request.get("GlobalSecondaryIndexUpdates") or ()
    return [update["Update"] for update in updates if "Update" in update]


def _is_decrease(old: Capacity, new: Capacity) -> bool:
    return any(int(new[unit]) < int(old[unit]) for unit in _UNITS)


def _refuse(
    table: Table, request: dict[str, Any], changes: list[tuple[str, Capacity, Capacity]]
) -> None:
    for what, old, new in changes:
        if what != _TABLE and all(int(new[unit]) == int(old[unit]) for unit in _UNITS):
            raise RefusedUpdateError(
                "ValidationException",
                f"The provisioned throughput for the index {what} will not change. "
                "The requested value equals the current value.",
            )
        if _is_decrease(old, new):
            _refuse_beyond_quota(_record(table, what)["decreases"])
    back_to_provisioned = request.get("BillingMode") == "PROVISIONED" and (
        _billing_mode(table) == "PAY_PER_REQUEST"
    )
    if back_to_provisioned:
        given = {update["IndexName"] for update in _index_updates(request)}
        missing = sorted(set(_indexes(table)) - given)
        if missing:
            raise RefusedUpdateError(
                "ValidationException",
                "One or more parameter values were invalid: ProvisionedThroughput must be "
                f"specified for index: {', '.join(missing)}",
            )


def _refuse_beyond_quota(decreases: list[float]) -> None:
    now = time.time()
    if may_decrease(decreases, now):
        return
    last = datetime.fromtimestamp(max(decreases), UTC)
    following = datetime.fromtimestamp(max(decreases) + 3600, UTC)
    raise RefusedUpdateError(
        "LimitExceededException",
        "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given "
        f"UTC day. After the first {FREE_PER_DAY} decreases, each subsequent decrease in the same "
        "UTC day can be performed at most once every 3600 seconds. Number of decreases today: "
        f"{decreases_today(decreases, now)}. Last decrease at {last:%A, %B %d, %Y %H:%M:%S} UTC. "
        f"Next decrease can be made at {following:%A, %B %d, %Y %H:%M:%S} UTC",
    )


# --- what is remembered and described -----------------------------------------------------------


def _record(table: Capacity, what: str) -> dict[str, Any]:
    kept: dict[str, Any] = table.get(_CHANGES, {}).get(what, {})
    return {"decreases": [], "increased": None, **kept}


def _count(table: Table, changes: list[tuple[str, Capacity, Capacity]]) -> None:
    now = time.time()
    for what, old, new in changes:
        record = _record(table, what)
        if _is_decrease(old, new):
            record["decreases"] = [*record["decreases"], now]
        if _is_decrease(new, old):
            record["increased"] = now
        table.setdefault(_CHANGES, {})[what] = record


def _on_demand_since(table: Table) -> float | None:
    if _billing_mode(table) != "PAY_PER_REQUEST":
        return table.get(_ON_DEMAND_SINCE)
    summary = table["BillingModeSummary"]
    return summary.get("LastUpdateToPayPerRequestDateTime") or table["CreationDateTime"]


def _keep_on_demand_time(table: Table, request: dict[str, Any], since: float | None) -> None:
    if request.get("BillingMode") == "PAY_PER_REQUEST":
        since = table["BillingModeSummary"]["LastUpdateToPayPerRequestDateTime"]
    if since is not None:
        table[_ON_DEMAND_SINCE] = since


def _complete(table: Table, description: dict[str, Any]) -> dict[str, Any]:
    described = {**description, "ProvisionedThroughput": _throughput(table, _TABLE, table)}
    if description.get("GlobalSecondaryIndexes"):
        described["GlobalSecondaryIndexes"] = [
            {
                # MiniStack leaves it out for an index of a template.
                "IndexStatus": "ACTIVE",
                **index,
                "ProvisionedThroughput": _throughput(table, index["IndexName"], index),
            }
            for index in description["GlobalSecondaryIndexes"]
        ]
    since = _on_demand_since(table)
    described.pop("BillingModeSummary", None)
    if since is not None:
        described["BillingModeSummary"] = {
            "BillingMode": _billing_mode(table),
            "LastUpdateToPayPerRequestDateTime": since,
        }
    return described


def _throughput(table: Table, what: str, described_part: Capacity) -> dict[str, Any]:
    on_demand = _billing_mode(table) == "PAY_PER_REQUEST"
    capacity = _NOTHING if on_demand else described_part.get("ProvisionedThroughput") or _NOTHING
    record = _record(table, what)
    described = {
        "NumberOfDecreasesToday": decreases_today(record["decreases"], time.time()),
        **{unit: int(capacity[unit]) for unit in _UNITS},
    }
    if record["decreases"]:
        described["LastDecreaseDateTime"] = max(record["decreases"])
    if record["increased"]:
        described["LastIncreaseDateTime"] = record["increased"]
    return described

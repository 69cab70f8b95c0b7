"""The run table: run records, locks, budgets, breaker, kill switch. One item per concept.

| `pk` | what it is |
|---|---|
| `RUN#<run id>` | one run: request, plan, snapshot, approval, answer |
| `EVENT#<event id>` | an alarm event that was taken |
| `ALARM#<name>` | newest state change taken of that alarm, and whether a person was told |
| `TARGET#<arn>` | lock: `owner` (run id) and `lease_until` |
| `PAIR#<runbook>#<arn>` | open run of this runbook on this target, and its cool-down |
| `QUARANTINE#<arn>` | a failed rollback left the target; deleting the item releases it |
| `BREAKER#<runbook>` | failures in a row; `open_until` while the runbook is stopped |
| `BUDGET#...#<hour>` | changes made in a clock hour; a run that made none gives its share back |
| `LEDGER#<arn>` | releases of a function or stage, as the poll saw them |
| `SWITCH` | kill switch: `automation` = `off` stops every change |
| `WINDOW#<arn or *>` | maintenance window: `from`, `until`, `reason` |

Times inside conditions are epoch seconds. Composite values are JSON text.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from lambdas.remediation.contracts import Plan, Prepared, Run, decode, encode
from lambdas.remediation.frozen import Frozen

# Records outlive the 90 days that Step Functions keeps an execution's history.
RECORD_SECONDS = 400 * 86_400
EVENT_SECONDS = 7 * 86_400
# The index holds what the sweep has to look at: runs without an outcome, changes lent out.
OPEN_RUNS_INDEX = "open-runs"
OPEN = "yes"
MITIGATED = "mitigated"

Item = dict[str, Any]


def epoch(moment: datetime) -> int:
    """Whole seconds, as conditions compare them."""
    return int(moment.timestamp())


def moment(seconds: float) -> datetime:
    """Aware UTC time of epoch seconds."""
    return datetime.fromtimestamp(seconds, UTC)


def to_item(values: Item) -> Item:
    """DynamoDB attribute values of strings, whole numbers, booleans; None is left out."""
    return {k: _attribute(v) for k, v in values.items() if v is not None}


def _attribute(value: Any) -> Item:
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    return {"S": value if isinstance(value, str) else json.dumps(encode(value))}


def from_item(item: Item | None) -> Item:
    """Plain values of an item; empty for an absent one."""
    return {k: _plain(v) for k, v in (item or {}).items()}


def _plain(attribute: Item) -> Any:
    ((kind, value),) = attribute.items()
    return int(value) if kind == "N" else value


class Record(Frozen):
    """A run's item, with its contracts decoded. `run` is absent where `Begin` refused early."""

    run_id: str
    item: Item
    run: Run | None
    prepared: Prepared | None

    @property
    def state(self) -> str:
        """`open`, `closing` (no change is admitted any more) or `closed`."""
        return str(self.item["state"])

    @property
    def claimed(self) -> bool:
        """Whether the run took the lock, so that it may have changed something."""
        return bool(self.item.get("claimed"))

    @property
    def answer(self) -> Item | None:
        """The object the execution answered with."""
        return json.loads(self.item["answer"]) if "answer" in self.item else None

    @property
    def refusal(self) -> Item:
        """Why `Begin` refused, empty if it did not."""
        return dict(json.loads(self.item.get("refusal", "{}")))

    @property
    def alarms(self) -> list[str]:
        """Alarms that the run answers for: the one that raised it, and those that came after."""
        first = [self.run.incident.alarm_name] if self.run and self.run.incident else []
        return [*first, *(a for a in sorted(self.item.get("also_alarms", [])) if a not in first)]

    @property
    def companies(self) -> list[str]:
        """Runs that this one started, or joined instead; the latest last."""
        ids: list[str] = json.loads(self.item.get("companies", "[]"))
        return ids

    @property
    def plan(self) -> Plan | None:
        """The plan, once prepared."""
        return self.prepared.plan if self.prepared else None


def record_of(item: Item) -> Record:
    """Record from a plain item."""
    prepared = None
    if "plan" in item:
        prepared = Prepared(
            snapshot=json.loads(item["snapshot"]), plan=decode(Plan, json.loads(item["plan"]))
        )
    return Record(
        run_id=item["pk"].removeprefix("RUN#"),
        item=item,
        run=decode(Run, json.loads(item["run"])) if "run" in item else None,
        prepared=prepared,
    )


class RunTable:
    """Reads and writes of the run table; conditions that decide are in guard.py."""

    service: ClassVar[str] = "dynamodb"

    def __init__(self, client: Any, name: str) -> None:
        self.client = client
        self.name = name

    def get(self, pk: str) -> Item:
        """One item, read consistently; empty if absent."""
        answer = self.client.get_item(
            TableName=self.name, Key={"pk": {"S": pk}}, ConsistentRead=True
        )
        return from_item(answer.get("Item"))

    def get_together(self, keys: Sequence[str]) -> list[Item]:
        """Several items as of one moment (a read transaction), in the order asked."""
        answer = self.client.transact_get_items(
            TransactItems=[
                {"Get": {"TableName": self.name, "Key": {"pk": {"S": pk}}}} for pk in keys
            ]
        )
        return [from_item(r.get("Item")) for r in answer["Responses"]]

    def record(self, run_id: str) -> Record | None:
        """Record of a run, read consistently."""
        item = self.get(f"RUN#{run_id}")
        return record_of(item) if item else None

    def put(self, values: Item) -> None:
        """Write an item, whatever was there."""
        self.client.put_item(TableName=self.name, Item=to_item(values))

    def put_new(self, values: Item) -> bool:
        """Write an item unless its key is taken; says whether it was written."""
        return self.change(
            "put_item", Item=to_item(values), ConditionExpression="attribute_not_exists(pk)"
        )

    def delete(self, pk: str) -> None:
        """Delete an item; absent is fine."""
        self.client.delete_item(TableName=self.name, Key={"pk": {"S": pk}})

    def update(
        self,
        pk: str,
        *,
        values: Item | None = None,
        remove: Sequence[str] = (),
        condition: str | None = None,
        given: Item | None = None,
    ) -> bool:
        """Set and remove attributes; says whether the condition held.

        `condition` may name `:x` values from `given` and attributes plainly; `#state` is `state`.
        """
        present = {k: v for k, v in (values or {}).items() if v is not None}
        parts = []
        if present:
            parts.append("SET " + ", ".join(f"#{k} = :{k}" for k in present))
        if remove:
            parts.append("REMOVE " + ", ".join(f"#{k}" for k in remove))
        names = {f"#{k}": k for k in [*present, *remove]}
        if condition and "#state" in condition:
            names["#state"] = "state"
        bound = to_item({f":{k}": v for k, v in {**present, **(given or {})}.items()})
        arguments: Item = {"UpdateExpression": " ".join(parts), "ExpressionAttributeNames": names}
        if bound:
            arguments["ExpressionAttributeValues"] = bound
        if condition:
            arguments["ConditionExpression"] = condition
        return self.change("update_item", Key={"pk": {"S": pk}}, **arguments)

    def add_failure(self, runbook: str) -> int:
        """Count one more failure in a row of a runbook; gives the count."""
        answer = self.client.update_item(
            TableName=self.name,
            Key={"pk": {"S": f"BREAKER#{runbook}"}},
            UpdateExpression="ADD failures :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="ALL_NEW",
        )
        return int(answer["Attributes"]["failures"]["N"])

    def take_back(self, pk: str) -> None:
        """Lower the count of an item's `used` by one; an item that lapsed is left alone."""
        self.change(
            "update_item",
            Key={"pk": {"S": pk}},
            UpdateExpression="ADD used :less",
            ConditionExpression="used > :none",
            ExpressionAttributeValues=to_item({":less": -1, ":none": 0}),
        )

    def add_alarm(self, run_id: str, alarm_name: str) -> None:
        """Note on a run that another alarm has the same cause."""
        self.change(
            "update_item",
            Key={"pk": {"S": f"RUN#{run_id}"}},
            UpdateExpression="ADD also_alarms :name",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":name": {"SS": [alarm_name]}},
        )

    def listed(self, kind: str) -> list[Item]:
        """Runs listed under `OPEN` or `MITIGATED`, oldest first (eventually consistent)."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.name,
            IndexName=OPEN_RUNS_INDEX,
            KeyConditionExpression="#open = :kind",
            ExpressionAttributeNames={"#open": "open"},
            ExpressionAttributeValues={":kind": {"S": kind}},
        )
        return [from_item(i) for page in pages for i in page["Items"]]

    def change(self, operation: str, **arguments: Any) -> bool:
        """Run a conditional write; says whether the condition held."""
        try:
            getattr(self.client, operation)(TableName=self.name, **arguments)
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

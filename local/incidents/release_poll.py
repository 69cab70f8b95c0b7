"""The product's five-minute poll of releases, asked for now.

Which release was there before the bad one is known from this poll, which on AWS has run for weeks
when an incident comes. A local run would have to wait five minutes for the first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from local.incidents.incident import IncidentError

SWEEP_HANDLER = "lambdas.oversight.sweep.handler"
LEDGER = "LEDGER#"

_DEADLINE_SECONDS = 30.0
_POLL_SECONDS = 0.25


def poll_releases(
    client: Callable[[str], Any], *, targets: Iterable[str], seconds: float = _DEADLINE_SECONDS
) -> None:
    """Invoke the sweep, and wait until it has seen each target healthy.

    Parameters
    ----------
    client
        Gives the boto3 client of a service.
    targets
        A part of each target's ARN that no other target has.
    seconds
        How long to wait: the sweep has the ledger written by other functions, asynchronously.

    Raises
    ------
    IncidentError
        There is no sweep, it failed, or it has not noted a target in time.
    """
    asked = datetime.now(UTC)
    _invoke_sweep(client("lambda"))
    table = _run_table(client("cloudformation"))
    deadline = time.monotonic() + seconds
    missing = set(targets)
    while missing:
        ledger = _ledger(client("dynamodb"), table)
        missing = {t for t in missing if not _seen_healthy(ledger, t, since=asked)}
        if missing and time.monotonic() > deadline:
            known = ", ".join(sorted(ledger)) or "empty"
            raise IncidentError(
                f"the poll has not noted {' and '.join(sorted(missing))} as healthy within "
                f"{seconds:.0f} s; the ledger is: {known}"
            )
        if missing:
            time.sleep(_POLL_SECONDS)


def _invoke_sweep(awslambda: Any) -> None:
    pages = awslambda.get_paginator("list_functions").paginate()
    found = [f for page in pages for f in page["Functions"] if f.get("Handler") == SWEEP_HANDLER]
    if len(found) != 1:
        raise IncidentError(f"{len(found)} functions have the handler {SWEEP_HANDLER}, not one")
    answer = awslambda.invoke(FunctionName=found[0]["FunctionName"], Payload=b"{}")
    if answer.get("FunctionError"):
        raise IncidentError(f"the sweep failed: {answer['Payload'].read().decode()}")


def _run_table(formation: Any) -> str:
    pages = formation.get_paginator("describe_stacks").paginate()
    for stack in (stack for page in pages for stack in page["Stacks"]):
        for output in stack.get("Outputs", []):
            if output["OutputKey"] == "RunTableName":
                return str(output["OutputValue"])
    raise IncidentError("no stack has the output RunTableName")


def _ledger(dynamodb: Any, table: str) -> dict[str, list[dict[str, Any]]]:
    """Read what was seen of each target, oldest first."""
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table,
        FilterExpression="begins_with(pk, :ledger)",
        ExpressionAttributeValues={":ledger": {"S": LEDGER}},
        ConsistentRead=True,
    )
    return {
        item["pk"]["S"].removeprefix(LEDGER): json.loads(item["seen"]["S"])
        for page in pages
        for item in page["Items"]
    }


def _seen_healthy(ledger: dict[str, list[dict[str, Any]]], target: str, *, since: datetime) -> bool:
    """Whether the latest release of every target of that name was seen healthy since then."""
    latest = [seen[-1] for arn, seen in ledger.items() if target in arn and seen]
    return bool(latest) and all(
        stay.get("last_good") and datetime.fromisoformat(stay["last_good"]) >= since
        for stay in latest
    )

"""Which CloudFormation stacks are, or were just, being deployed."""

import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import reading

_STACK = "AWS::CloudFormation::Stack"
# A page holds up to 1 MB of events: what is not in the first few is an operation of hundreds of
# resources that is still running.
_PAGES = 3


class StackOperation(Frozen):
    """The last operation on a stack.

    Parameters
    ----------
    status
        CloudFormation's status of the stack.
    at
        When it last changed.
    """

    stack_name: str
    status: str
    at: datetime

    @property
    def running(self) -> bool:
        """Whether CloudFormation is still at it; the clean-up deletes resources, so it counts."""
        return self.status.endswith("_IN_PROGRESS")


class StackEvents:
    """Reads the events of stacks; changes nothing.

    Parameters
    ----------
    client
        Client of CloudFormation.
    """

    service: ClassVar[str] = "cloudformation"

    def __init__(self, client: Any) -> None:
        self._client = client

    def last_operation(self, stack_name: str) -> StackOperation | None:
        """The last operation on a stack; None if it has no events.

        Notes
        -----
        CloudFormation gives events newest first, so the first one of the stack itself tells.
        Where only its resources' events are found, the operation they belong to goes on.
        """
        newest: datetime | None = None
        pages = self._client.get_paginator("describe_stack_events").paginate(StackName=stack_name)
        with reading(f"events of stack {stack_name}"):
            for number, page in enumerate(pages, start=1):
                events = page["StackEvents"]
                own = [e for e in events if _of_the_stack(e)]
                if own:
                    last = max(own, key=lambda e: e["Timestamp"])
                    return StackOperation(
                        stack_name=stack_name,
                        status=last["ResourceStatus"],
                        at=last["Timestamp"].astimezone(UTC),
                    )
                newest = newest or max((e["Timestamp"] for e in events), default=None)
                if number == _PAGES:
                    break
        if newest is None:
            return None
        return StackOperation(
            stack_name=stack_name, status="UPDATE_IN_PROGRESS", at=newest.astimezone(UTC)
        )

    def request_ids(self, stack_name: str) -> tuple[str, ...]:
        """Marks of the last operations, newest first, as far as the newest events tell.

        A mark is the `ClientRequestToken` of the call: CloudFormation repeats it in each event.
        """
        marks = (e.get("ClientRequestToken") for e in self._newest(stack_name))
        return tuple(dict.fromkeys(mark for mark in marks if mark))

    def failures(self, stack_name: str, request_id: str) -> tuple[str, ...]:
        """What failed in the operation with this mark and why, the first failure first.

        Resources that were only stopped because another one failed are left out.
        """
        found = [
            f"{e['LogicalResourceId']} ({e.get('ResourceType', '')}): {e['ResourceStatusReason']}"
            for e in self._newest(stack_name)
            if e.get("ClientRequestToken") == request_id
            and e.get("ResourceStatus", "").endswith("_FAILED")
            and not _of_the_stack(e)
            and "cancelled" not in e.get("ResourceStatusReason", "cancelled").lower()
        ]
        return tuple(reversed(found))

    def _newest(self, stack_name: str) -> Iterator[Mapping[str, Any]]:
        """Events, newest first, of the first few pages."""
        pages = self._client.get_paginator("describe_stack_events").paginate(StackName=stack_name)
        with reading(f"events of stack {stack_name}"):
            for page in itertools.islice(pages, _PAGES):
                yield from page["StackEvents"]


def _of_the_stack(event: Mapping[str, Any]) -> bool:
    """Nested stacks are resources of the same type, with an id of their own."""
    return (
        event.get("ResourceType") == _STACK and event.get("PhysicalResourceId") == event["StackId"]
    )

"""A mailbox on the operator topic: what a person would have received."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LONG_POLL_SECONDS = 1


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One message of the operator topic, with the attributes filters work on."""

    subject: str
    text: str
    attributes: dict[str, str]


class OperatorInbox:
    """An SQS queue subscribed to a topic.

    Parameters
    ----------
    sns, sqs
        boto3 clients.
    topic_arn
        The topic to listen to.
    name
        Name of the queue.
    """

    def __init__(self, sns: Any, sqs: Any, *, topic_arn: str, name: str) -> None:
        self._sqs = sqs
        self._url = sqs.create_queue(QueueName=name)["QueueUrl"]
        queue_arn = sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])[
            "Attributes"
        ]["QueueArn"]
        sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn)

    def received(self, *, within_seconds: float) -> Iterator[Notification]:
        """Yield messages as they arrive until the time is over."""
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            answer = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=_LONG_POLL_SECONDS,
            )
            for message in answer.get("Messages", []):
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
                yield notification(message["Body"])


def notification(body: str) -> Notification:
    """Read the envelope SNS puts around a message for SQS."""
    envelope = json.loads(body)
    return Notification(
        subject=envelope.get("Subject") or "",
        text=envelope["Message"],
        attributes={k: v["Value"] for k, v in envelope.get("MessageAttributes", {}).items()},
    )

import json
from typing import Any

import pytest

from tests.local.workbench import Workbench, arn

pytestmark = pytest.mark.engine


def rule_to(bench: Workbench, name: str, target: str) -> str:
    url, dead_letters = bench.queue(name)
    events = bench.client("events")
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    events.put_targets(
        Rule=name,
        Targets=[
            {
                "Id": "t",
                "Arn": target,
                "RoleArn": "arn:aws:iam::000000000000:role/any",
                "DeadLetterConfig": {"Arn": dead_letters},
            }
        ],
    )
    return url


def put_event(bench: Workbench, name: str, detail: dict[str, Any]) -> None:
    entry = {"Source": name, "DetailType": "drill", "Detail": json.dumps(detail)}
    bench.client("events").put_events(Entries=[entry])


@pytest.mark.parametrize(
    "target",
    [
        arn("states", "stateMachine:nowhere"),
        arn("lambda", "function:nowhere"),
        arn("sqs", "nowhere"),
        arn("sns", "nowhere"),
    ],
)
def test_event_for_a_missing_target_reaches_the_dead_letter_queue(
    bench: Workbench, name: str, target: str
) -> None:
    url = rule_to(bench, name, target)
    put_event(bench, name, {"n": 1})
    (letter,) = bench.client("sqs").receive_message(
        QueueUrl=url, MessageAttributeNames=["All"], WaitTimeSeconds=2
    )["Messages"]
    assert json.loads(letter["Body"])["detail"] == {"n": 1}
    attributes = {key: value["StringValue"] for key, value in letter["MessageAttributes"].items()}
    assert attributes["TARGET_ARN"] == target
    assert attributes["RULE_ARN"] == arn("events", f"rule/{name}")
    assert attributes["ERROR_CODE"] == "RESOURCE_NOT_FOUND"


def test_delivered_event_leaves_no_dead_letter(bench: Workbench, name: str) -> None:
    delivered, target = bench.queue(f"{name}-target")
    url = rule_to(bench, name, target)
    put_event(bench, name, {"n": 1})
    assert len(bench.messages(delivered)) == 1
    assert bench.messages(url, seconds=0.3) == []

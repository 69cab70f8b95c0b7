import json

import pytest

from local.engine.process import Engine
from tests.local.workbench import Workbench, eventually

pytestmark = pytest.mark.engine


def test_attributes_of_an_integration_reach_the_filter_and_the_subscriber(
    bench: Workbench, engine: Engine, name: str
) -> None:
    sns = bench.client("sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    url, queue = bench.queue(name)
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=queue,
        Attributes={"FilterPolicy": json.dumps({"severity": ["page"]})},
    )
    publish = {
        "TopicArn": topic,
        "Message": "m",
        "MessageAttributes": {"severity": {"DataType": "String", "StringValue": "page"}},
    }
    machine = bench.client("stepfunctions").create_state_machine(
        name=name,
        roleArn="arn:aws:iam::000000000000:role/any",
        definition=json.dumps(
            {
                "QueryLanguage": "JSONata",
                "StartAt": "Publish",
                "States": {
                    "Publish": {
                        "Type": "Task",
                        "Resource": "arn:aws:states:::sns:publish",
                        "Arguments": publish,
                        "End": True,
                    }
                },
            }
        ),
    )["stateMachineArn"]
    bench.client("stepfunctions").start_execution(stateMachineArn=machine)
    (received,) = eventually(
        lambda: bench.client("sqs").receive_message(QueueUrl=url).get("Messages")
    )
    attributes = json.loads(received["Body"])["MessageAttributes"]
    assert attributes["severity"] == {"Type": "String", "Value": "page"}

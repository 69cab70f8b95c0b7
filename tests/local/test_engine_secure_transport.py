import json

import pytest

from tests.local.workbench import Workbench

pytestmark = pytest.mark.engine


def test_policy_that_enforces_tls_lets_loopback_through(
    enforcing_bench: Workbench, name: str
) -> None:
    sns = enforcing_bench.client("sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sns:Publish",
        "Resource": topic,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    sns.set_topic_attributes(
        TopicArn=topic,
        AttributeName="Policy",
        AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": [deny]}),
    )
    assert sns.publish(TopicArn=topic, Message="over loopback")["MessageId"]

import pytest
from botocore.exceptions import ClientError

from local.engine.process import Engine
from tests.local.workbench import Workbench, arn

pytestmark = pytest.mark.engine


def test_role_may_read_the_log_group_that_its_policy_names_with_the_star(
    enforcing_engine: Engine, enforcing_bench: Workbench, name: str
) -> None:
    logs = enforcing_bench.client("logs")
    for group in (name, f"{name}-other"):
        logs.create_log_group(logGroupName=group)
    statement = {
        "Effect": "Allow",
        "Action": ["logs:FilterLogEvents"],
        "Resource": [arn("logs", f"log-group:{name}:*")],
    }
    role = enforcing_bench.role(name, statement)
    client = enforcing_bench.client_of_role("logs", role, enforcing_engine.url)
    assert client.filter_log_events(logGroupName=name)["events"] == []
    with pytest.raises(ClientError, match="logs:FilterLogEvents"):
        client.filter_log_events(logGroupName=f"{name}-other")


def test_tags_are_of_the_log_group_itself(
    enforcing_engine: Engine, enforcing_bench: Workbench, name: str
) -> None:
    enforcing_bench.client("logs").create_log_group(logGroupName=name)
    group = arn("logs", f"log-group:{name}")
    statement = {"Effect": "Allow", "Action": ["logs:ListTagsForResource"], "Resource": [group]}
    role = enforcing_bench.role(name, statement)
    client = enforcing_bench.client_of_role("logs", role, enforcing_engine.url)
    assert client.list_tags_for_resource(resourceArn=group)["tags"] == {}

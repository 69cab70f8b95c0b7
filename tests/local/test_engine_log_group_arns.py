import pytest
from botocore.exceptions import ClientError

from local.engine.process import Engine
from tests.local.workbench import Workbench, arn

pytestmark = pytest.mark.engine


def test_search_is_allowed_on_the_streams_of_the_group(
    enforcing_engine: Engine, enforcing_bench: Workbench, name: str
) -> None:
    for group in (name, f"{name}-other"):
        enforcing_bench.client("logs").create_log_group(logGroupName=group)
    statement = {
        "Effect": "Allow",
        "Action": "logs:FilterLogEvents",
        "Resource": arn("logs", f"log-group:{name}:*"),
    }
    role = enforcing_bench.role(name, statement)
    client = enforcing_bench.client_of_role("logs", role, enforcing_engine.url)
    assert client.filter_log_events(logGroupName=name)["events"] == []
    with pytest.raises(ClientError, match="logs:FilterLogEvents"):
        client.filter_log_events(logGroupName=f"{name}-other")

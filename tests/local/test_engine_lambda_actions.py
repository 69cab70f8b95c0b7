from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.engine.process import Engine
from tests.local.workbench import Workbench, arn

pytestmark = pytest.mark.engine

CODE = "def handler(event, context):\n    return 1\n"


def client_of(engine: Engine, bench: Workbench, name: str, *actions: str) -> Any:
    """A Lambda client of a role that may only do ``actions``."""
    statement = {
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": [arn("lambda", f"function:{name}"), arn("lambda", f"function:{name}:*")],
    }
    role = bench.role(name, statement)
    return bench.client_of_role("lambda", role, engine.url)


def make_alias(bench: Workbench, name: str) -> None:
    bench.function(name, CODE)
    awslambda = bench.client("lambda")
    version = awslambda.publish_version(FunctionName=name)["Version"]
    awslambda.create_alias(FunctionName=name, Name="live", FunctionVersion=version)


def test_update_alias_is_its_own_action(
    enforcing_engine: Engine, enforcing_bench: Workbench, name: str
) -> None:
    make_alias(enforcing_bench, name)
    client = client_of(
        enforcing_engine, enforcing_bench, name, "lambda:UpdateAlias", "lambda:GetAlias"
    )
    client.update_alias(FunctionName=name, Name="live", Description="moved")
    assert client.get_alias(FunctionName=name, Name="live")["Description"] == "moved"
    with pytest.raises(ClientError, match="lambda:ListAliases"):
        client.list_aliases(FunctionName=name)
    with pytest.raises(ClientError, match="lambda:DeleteAlias"):
        client.delete_alias(FunctionName=name, Name="live")


def test_concurrency_calls_are_their_own_actions(
    enforcing_engine: Engine, enforcing_bench: Workbench, name: str
) -> None:
    make_alias(enforcing_bench, name)
    client = client_of(
        enforcing_engine,
        enforcing_bench,
        name,
        "lambda:PutProvisionedConcurrencyConfig",
        "lambda:GetFunctionConcurrency",
    )
    client.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier="live", ProvisionedConcurrentExecutions=1
    )
    client.get_function_concurrency(FunctionName=name)
    with pytest.raises(ClientError, match="lambda:PutFunctionConcurrency"):
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    with pytest.raises(ClientError, match="lambda:GetProvisionedConcurrencyConfig"):
        client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")


@pytest.mark.parametrize(
    ("allowed", "denied"), [(":live", ":1"), (":1", ":live"), (":*", ""), ("", ":live")]
)
def test_an_invocation_is_allowed_by_what_is_invoked(
    enforcing_engine: Engine, enforcing_bench: Workbench, name: str, allowed: str, denied: str
) -> None:
    make_alias(enforcing_bench, name)
    statement = {
        "Effect": "Allow",
        "Action": "lambda:InvokeFunction",
        "Resource": arn("lambda", f"function:{name}{allowed}"),
    }
    role = enforcing_bench.role(name, statement)
    client = enforcing_bench.client_of_role("lambda", role, enforcing_engine.url)

    client.invoke(**invoked(name, allowed.replace("*", "1")))
    with pytest.raises(ClientError, match="lambda:InvokeFunction"):
        client.invoke(**invoked(name, denied))


def invoked(name: str, qualifier: str) -> dict[str, str]:
    """Arguments that invoke the function, or what follows the colon."""
    return {"FunctionName": name, **({"Qualifier": qualifier[1:]} if qualifier else {})}

"""Plain parameters against simulated SSM."""

import pytest

from lambdas.remediation import clients
from lambdas.remediation.errors import TargetNotFoundError, ThrottledError
from lambdas.remediation.resources.ssm_parameter import Parameter, SsmParameters, put_parameter
from lambdas.remediation.targets import Place

PLACE = Place(partition="aws", region="us-east-1", account="123456789012")


@pytest.fixture
def parameters(aws) -> SsmParameters:
    client = clients.client("ssm")
    client.put_parameter(Name="/shop/orders", Value="orders", Type="String")
    client.put_parameter(Name="plain", Value="secret", Type="SecureString")
    return SsmParameters(client)


def test_a_parameter_is_changed_and_changed_back(parameters):
    call = put_parameter("/shop/orders", PLACE, "orders", "orders-2")

    parameters.apply(call)
    changed = parameters.read("/shop/orders")
    parameters.apply(call.inverse())

    assert changed == Parameter(name="/shop/orders", type="String", value="orders-2", version=2)
    assert parameters.present(call) == {"/shop/orders": "orders"}


def test_the_arn_has_one_slash_whatever_the_name_begins_with():
    arns = [put_parameter(name, PLACE, "a", "b").resource for name in ("/shop/orders", "orders")]

    assert arns == [
        "arn:aws:ssm:us-east-1:123456789012:parameter/shop/orders",
        "arn:aws:ssm:us-east-1:123456789012:parameter/orders",
    ]


def test_a_secret_is_not_decrypted(parameters):
    found = parameters.read("plain")

    assert found.type == "SecureString"
    assert found.value != "secret"


def test_no_such_parameter(parameters):
    with pytest.raises(TargetNotFoundError):
        parameters.read("/nowhere")


def test_changed_too_often_at_once(parameters, calls_of):
    calls_of("ssm", "PutParameter").will_fail("TooManyUpdates")

    with pytest.raises(ThrottledError):
        parameters.apply(put_parameter("/shop/orders", PLACE, "orders", "orders-2"))

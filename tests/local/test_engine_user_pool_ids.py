import re

import pytest

from tests.local.workbench import Workbench

pytestmark = pytest.mark.engine


def test_user_pool_gets_the_id_of_its_tag_and_the_next_one_a_made_up_one(
    bench: Workbench, name: str
) -> None:
    cognito = bench.client("cognito-idp")
    tagged = cognito.create_user_pool(
        PoolName=name, UserPoolTags={"ms-custom-id": "us-east-1_AskedFor1"}
    )["UserPool"]
    other = cognito.create_user_pool(PoolName=name)["UserPool"]
    found = cognito.describe_user_pool(UserPoolId="us-east-1_AskedFor1")["UserPool"]
    assert tagged["Id"] == "us-east-1_AskedFor1"
    assert tagged["Arn"].endswith(":userpool/us-east-1_AskedFor1")
    assert found["Name"] == name
    assert re.fullmatch(r"us-east-1_[A-Za-z0-9]{9}", other["Id"])

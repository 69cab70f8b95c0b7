"""The sample platform's user pool has the id that the platform file names."""

import pytest

from local.engine.user_pool_ids import TAG

pytestmark = pytest.mark.engine


def test_pool_gets_the_id_of_its_tag(engine):
    cognito = engine.client("cognito-idp")
    created = cognito.create_user_pool(PoolName="named", UserPoolTags={TAG: "us-east-1_NamedPool"})
    assert created["UserPool"]["Id"] == "us-east-1_NamedPool"
    assert cognito.describe_user_pool(UserPoolId="us-east-1_NamedPool")["UserPool"]["Name"] == (
        "named"
    )


def test_pools_without_a_tag_get_ids_of_their_own(engine):
    cognito = engine.client("cognito-idp")
    made = {cognito.create_user_pool(PoolName="free")["UserPool"]["Id"] for _ in range(2)}
    assert len(made) == 2

import pytest

from tests.local.workbench import Workbench

pytestmark = pytest.mark.engine


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"ContributorInsightsMode": "THROTTLED_KEYS"}, "THROTTLED_KEYS"),
        ({}, "ACCESSED_AND_THROTTLED_KEYS"),
    ],
)
def test_insights_keep_their_mode(
    bench: Workbench, name: str, given: dict[str, str], kept: str
) -> None:
    dynamodb = bench.client("dynamodb")
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    never_on = dynamodb.describe_contributor_insights(TableName=name)
    dynamodb.update_contributor_insights(
        TableName=name, ContributorInsightsAction="ENABLE", **given
    )
    on = dynamodb.describe_contributor_insights(TableName=name)
    dynamodb.update_contributor_insights(TableName=name, ContributorInsightsAction="DISABLE")
    off = dynamodb.describe_contributor_insights(TableName=name)
    assert "ContributorInsightsMode" not in never_on
    assert (on["ContributorInsightsStatus"], on["ContributorInsightsMode"]) == ("ENABLED", kept)
    assert off["ContributorInsightsStatus"] == "DISABLED"

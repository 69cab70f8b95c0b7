from lambdas.remediation.platform import parse
from lambdas.remediation.targets import (
    ApiStage,
    CloudWatchDashboard,
    CognitoUserPool,
    DynamoDbTable,
    LambdaFunction,
    Place,
    Role,
    S3Bucket,
    SecretsManagerSecret,
    Stack,
    place_of,
)

PLACE = Place(partition="aws-cn", region="cn-north-1", account="123456789012")
PLATFORM = parse(
    {
        "name": "shop",
        "tables": [{"table_name": "Orders"}],
        "functions": [{"function_name": "cart", "alias": "live"}],
        "apis": [
            {"api_name": "shop", "api_id": "e1n2s3i4g5", "stage": "prod"},
            {"api_name": "web", "api_id": "a1b2c3d4e5", "stage": "$default", "protocol": "HTTP"},
        ],
    }
)


def test_place_is_read_from_an_arn():
    arn = "arn:aws-cn:states:cn-north-1:123456789012:execution:remediation-x:run-1"
    assert place_of(arn) == PLACE


def test_names_are_those_of_the_platform_file():
    assert DynamoDbTable().names(PLATFORM) == ("Orders",)
    assert LambdaFunction().names(PLATFORM) == ("cart",)
    assert ApiStage().names(PLATFORM) == ("shop", "web")


def test_arns_name_what_is_locked():
    table = DynamoDbTable().arn("Orders", PLATFORM, PLACE)
    function = LambdaFunction().arn("cart", PLATFORM, PLACE)
    assert table == "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/Orders"
    assert function == "arn:aws-cn:lambda:cn-north-1:123456789012:function:cart"


def test_arn_of_a_stage_has_no_account_and_says_which_kind_of_api():
    rest = ApiStage().arn("shop", PLATFORM, PLACE)
    http = ApiStage().arn("web", PLATFORM, PLACE)
    assert rest == "arn:aws-cn:apigateway:cn-north-1::/restapis/e1n2s3i4g5/stages/prod"
    assert http == "arn:aws-cn:apigateway:cn-north-1::/apis/a1b2c3d4e5/stages/$default"


def test_arns_of_kinds_without_region_or_made_up_endings():
    platform = parse(
        {
            "name": "shop",
            "stacks": [{"stack_name": "Shop"}],
            "buckets": [{"bucket_name": "shop-artifacts"}],
            "user_pools": [{"user_pool_id": "cn-north-1_Shop"}],
            "secrets": [{"secret_id": "shop/api-key"}],
            "dashboards": [{"dashboard_name": "Shop"}],
            "roles": [{"role_name": "shop-chat"}],
        }
    )
    kinds = (Stack, S3Bucket, CognitoUserPool, SecretsManagerSecret, CloudWatchDashboard, Role)
    assert [kind().arn(*kind().names(platform), platform, PLACE) for kind in kinds] == [
        "arn:aws-cn:cloudformation:cn-north-1:123456789012:stack/Shop",
        "arn:aws-cn:s3:::shop-artifacts",
        "arn:aws-cn:cognito-idp:cn-north-1:123456789012:userpool/cn-north-1_Shop",
        "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:shop/api-key",
        "arn:aws-cn:cloudwatch::123456789012:dashboard/Shop",
        "arn:aws-cn:iam::123456789012:role/shop-chat",
    ]

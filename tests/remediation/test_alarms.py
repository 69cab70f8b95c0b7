from lambdas.remediation.alarms import ApiErrorRateAlarm, FunctionErrorRateAlarm
from lambdas.remediation.platform import parse


def names_and_dimensions(kind, **sections):
    found = kind.alarms(parse({"name": "shop", **sections}), "remediation")
    return {a.name: a.dimensions for a in found}


def test_function_is_watched_where_its_traffic_goes():
    functions = [{"function_name": "cart", "alias": "live"}, {"function_name": "mail"}]
    assert names_and_dimensions(FunctionErrorRateAlarm(), functions=functions) == {
        "remediation-cart-errors": {"FunctionName": "cart", "Resource": "cart:live"},
        "remediation-mail-errors": {"FunctionName": "mail"},
    }


def test_rest_apis_report_under_their_name_and_http_apis_under_their_id():
    apis = [
        {"api_name": "shop", "api_id": "e1n2s3i4g5", "stage": "prod"},
        {"api_name": "web", "api_id": "a1b2c3d4e5", "stage": "$default", "protocol": "HTTP"},
    ]
    assert names_and_dimensions(ApiErrorRateAlarm(), apis=apis) == {
        "remediation-shop-prod-5xx": {"ApiName": "shop", "Stage": "prod"},
        "remediation-web-default-5xx": {"ApiId": "a1b2c3d4e5", "Stage": "$default"},
    }


def test_alarms_lead_to_their_target():
    apis = [{"api_name": "shop", "api_id": "e1n2s3i4g5", "stage": "prod"}]
    platform = parse({"name": "shop", "apis": apis, "functions": [{"function_name": "cart"}]})
    (api,) = ApiErrorRateAlarm().alarms(platform, "remediation")
    (function,) = FunctionErrorRateAlarm().alarms(platform, "remediation")
    assert (api.target, function.target) == ({"api_name": "shop"}, {"function_name": "cart"})

import os

import pytest

from local.toolkit.loopback import (
    NotLoopbackError,
    bound_environment,
    is_loopback,
    refuse_foreign_endpoints,
)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4566",
        "http://127.9.9.9",
        "http://localhost:4566",
        "https://LOCALHOST",
        "http://[::1]:4566",
        "127.0.0.1:4566",
    ],
)
def test_accepts_loopback(url):
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://dynamodb.us-east-1.amazonaws.com",
        "http://localhost@example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://10.0.0.1:4566",
        "http://0.0.0.0:4566",
        "http://2130706433",
        "",
    ],
)
def test_takes_nothing_else_for_loopback(url):
    assert not is_loopback(url)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"])
def test_refuses_a_foreign_endpoint_and_says_how_to_go_on(name):
    with pytest.raises(NotLoopbackError) as caught:
        refuse_foreign_endpoints({name: "https://example.com"})

    assert f"{name}=https://example.com" in str(caught.value)
    assert f"unset {name}" in str(caught.value)


def test_names_every_foreign_endpoint_and_no_other():
    with pytest.raises(NotLoopbackError) as caught:
        refuse_foreign_endpoints(
            {
                "AWS_ENDPOINT_URL_SNS": "http://a.example",
                "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
                "AWS_ENDPOINT_URL": "http://b.example",
            }
        )

    assert "unset AWS_ENDPOINT_URL AWS_ENDPOINT_URL_SNS " in str(caught.value)


@pytest.mark.parametrize(
    "environment", [{}, {"AWS_ENDPOINT_URL": ""}, {"AWS_ENDPOINT_URL": "http://localhost:1"}]
)
def test_starts_without_a_foreign_endpoint(environment):
    assert refuse_foreign_endpoints(environment) is None


def test_child_gets_the_engine_and_none_of_the_callers_aws_settings():
    caller = {
        "HOME": "/home/someone",
        "PATH": "/bin",
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "secret",
        "AWS_ENDPOINT_URL_SNS": "http://127.0.0.1:9",
        "https_proxy": "http://proxy.example",
    }

    child = bound_environment(caller, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})

    assert {k: v for k, v in child.items() if k.startswith("AWS_")} == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    assert child["HOME"] == "/home/someone"
    assert child["PATH"].endswith(":/bin")
    assert "https_proxy" not in child
    assert child["CDK_DISABLE_CLI_TELEMETRY"] == "true"

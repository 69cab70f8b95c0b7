"""Tests reach nothing outside, and share what is started once: proven by trying."""

import os
import random
import socket
from datetime import UTC, datetime

import boto3
import pytest
from hypothesis import settings
from moto import mock_aws

from lambdas.remediation.step import Clock

OUTSIDE = "192.0.2.1"  # reserved for documentation: nobody answers, should the block be broken


@pytest.fixture
def listening_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        yield server.getsockname()[1]


def test_plain_test_cannot_connect_to_loopback(listening_port):
    with pytest.raises(pytest.fail.Exception) as refusal:
        socket.create_connection(("127.0.0.1", listening_port), timeout=1)
    assert str(refusal.value) == (
        f"a test tried to reach ('127.0.0.1', {listening_port}): only tests marked `engine` may "
        "connect, and only to loopback"
    )


def test_plain_test_cannot_connect_to_a_unix_socket(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen(1)
        with pytest.raises(pytest.fail.Exception) as refusal:
            client.connect(path)
    assert str(refusal.value).startswith(f"a test tried to reach {path}: only tests marked")


@pytest.mark.engine
def test_engine_test_may_connect_to_loopback(listening_port):
    with socket.create_connection(("localhost", listening_port), timeout=1) as connection:
        assert connection.getpeername() == ("127.0.0.1", listening_port)


@pytest.mark.engine
@pytest.mark.parametrize("operation", ["connect", "connect_ex"])
def test_engine_test_cannot_leave_the_machine(operation):
    with socket.socket() as client:
        client.settimeout(0.1)
        with pytest.raises(pytest.fail.Exception) as refusal:
            getattr(client, operation)((OUTSIDE, 443))
    assert str(refusal.value) == (
        "a test tried to reach 192.0.2.1: no test may leave this machine; does moto know the "
        "service?"
    )


@pytest.mark.engine
def test_engine_test_cannot_send_a_datagram_outside():
    with (
        socket.socket(type=socket.SOCK_DGRAM) as client,
        pytest.raises(pytest.fail.Exception) as refusal,
    ):
        client.sendto(b"hello", (OUTSIDE, 53))
    assert "192.0.2.1" in str(refusal.value)


@pytest.mark.parametrize(
    ("resolve", "arguments"),
    [("getaddrinfo", ("example.com", 443)), ("gethostbyname", ("example.com",))],
)
def test_no_name_is_looked_up(resolve, arguments):
    with pytest.raises(pytest.fail.Exception) as refusal:
        getattr(socket, resolve)(*arguments)
    assert str(refusal.value).startswith("a test tried to reach example.com: ")


@mock_aws
def test_service_that_moto_does_not_know_is_named():
    notifications = boto3.client("notifications")  # its host is not under amazonaws.com
    with pytest.raises(pytest.fail.Exception) as refusal:
        notifications.list_notification_hubs()
    assert str(refusal.value).startswith("a test tried to reach notifications.us-east-1.api.aws: ")


def test_client_without_moto_is_refused_at_once():
    with pytest.raises(pytest.fail.Exception) as refusal:
        boto3.client("dynamodb").list_tables()
    assert "dynamodb.us-east-1.amazonaws.com" in str(refusal.value)


def test_no_settings_of_the_caller_are_left():
    assert {k: v for k, v in os.environ.items() if k.startswith("AWS_")} == {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def test_clock_stands_still_until_told_to_move(clock):
    assert Clock().now() == datetime(2026, 3, 2, 12, 10, tzinfo=UTC)
    clock.advance(minutes=5)
    assert Clock().now() == datetime(2026, 3, 2, 12, 15, tzinfo=UTC)


def test_chance_is_seeded():
    assert random.random() == 0.8444218515250481


def test_generated_examples_are_the_same_each_time_and_have_no_deadline():
    assert settings().deadline is None
    assert settings().derandomize is True


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all")
def test_workers_are_given_groups_of_tests_not_single_ones(request):
    # xdist writes the group behind the id; without it a worker may be given any test.
    assert [item.nodeid for item in request.session.items if "@" not in item.nodeid] == []

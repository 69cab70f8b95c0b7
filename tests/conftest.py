"""What every test gets: nobody's credentials, no network, one moment in time, no chance."""

import gc
import ipaddress
import json
import os
import random
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from moto import mock_aws

from lambdas.remediation import clients, observability, platform, settings, step
from lambdas.remediation.platform import Platform
from lambdas.remediation.records import OPEN_RUNS_INDEX, RunTable

# CDK, which the fixtures import, warns each worker of a Node.js whose life has ended.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")
pytest_plugins = ["tests.e2e.fixtures"]

REGION = "us-east-1"
ACCOUNT_ID = "123456789012"  # of the events in tests/events, and moto's
NOW = datetime(2026, 3, 2, 12, 10, tzinfo=UTC)
EVENTS = Path(__file__).parent / "events"
PLATFORM = {
    "name": "test",
    "max_changes_per_hour": 6,
    "tables": [
        {"table_name": "ChatMessage-prod", "indexes": ["chatSessionId-index"]},
        {"table_name": "ChatSession-prod"},
    ],
}

# --- nobody's credentials ---

_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}

# --- no network ---


@dataclass
class Reach:
    """How far the running test may connect: nowhere, or to this machine."""

    loopback: bool = False


_reach = Reach()
_REAL = {
    (socket.socket, "connect"): socket.socket.connect,
    (socket.socket, "connect_ex"): socket.socket.connect_ex,
    (socket.socket, "sendto"): socket.socket.sendto,
    (socket, "getaddrinfo"): socket.getaddrinfo,
    (socket, "gethostbyname"): socket.gethostbyname,
}


def _is_this_machine(host: Any) -> bool:
    if host in (None, "", b"", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse(host: Any, *, advice: str) -> None:
    # Not an Exception: a client would catch that, and try again.
    pytest.fail(f"a test tried to reach {host}: {advice}")


def _check_connection(family: int, address: Any) -> None:
    inet = family in (socket.AF_INET, socket.AF_INET6)
    if inet and not _is_this_machine(address[0]):
        _refuse(address[0], advice="no test may leave this machine; does moto know the service?")
    if not _reach.loopback:
        _refuse(address, advice="only tests marked `engine` may connect, and only to loopback")


def _connecting(name: str) -> Callable[..., Any]:
    real = _REAL[socket.socket, name]

    def guarded(self: socket.socket, *arguments: Any) -> Any:
        _check_connection(self.family, arguments[-1])
        return real(self, *arguments)

    return guarded


def _resolving(name: str) -> Callable[..., Any]:
    real = _REAL[socket, name]

    def guarded(host: Any, *arguments: Any, **named: Any) -> Any:
        if not _is_this_machine(host):
            _refuse(host, advice="no test may leave this machine; does moto know the service?")
        return real(host, *arguments, **named)

    return guarded


# --- which worker runs what ---

# What is started once a session costs most: on a few workers only, whatever file asks for it.
_WORKERS_PER_ENGINE = {"enforced": 2, "product": 4, "enforcing_engine": 1, "engine": 1}


# Before xdist, which has been registered after this file, reads the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file run on one worker, those of an engine where it is started; these first."""
    groups = {file: file for file in map(_file, items)}
    for engine, workers in _WORKERS_PER_ENGINE.items():
        asking = Counter(_file(i) for i in items if engine in _engines(i))
        load = dict.fromkeys(range(workers), 0)
        # The largest file goes where the least is; every worker comes to the same groups.
        for file, count in sorted(asking.items(), key=lambda one: (-one[1], one[0])):
            least = min(load, key=lambda worker: (load[worker], worker))
            load[least] += count
            groups[f"{engine} {file}"] = f"{engine}-{least}"
    for item in items:
        asked = _engines(item)
        key = f"{asked[0]} {_file(item)}" if asked else _file(item)
        item.add_marker(pytest.mark.xdist_group(groups[key]))
    items.sort(key=lambda item: "engine" not in item.keywords)


def _engines(item: pytest.Item) -> list[str]:
    asked = getattr(item, "fixturenames", ()) if "engine" in item.keywords else ()
    return [name for name in _WORKERS_PER_ENGINE if name in asked]


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def pytest_configure() -> None:
    """Before collection: importing a test module may not reach out either."""
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(_CREDENTIALS)
    for owner, name in _REAL:
        guard = _connecting if owner is socket.socket else _resolving
        setattr(owner, name, guard(name))
    # One moment, one seed, no deadline: a slow machine is not a failure.
    hypothesis.settings.register_profile("repository", deadline=None, derandomize=True)
    hypothesis.settings.load_profile("repository")


def pytest_collection_finish() -> None:
    """A third of the unit tests' time was the search for garbage in what importing has left."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_unconfigure() -> None:
    for (owner, name), real in _REAL.items():
        setattr(owner, name, real)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Around setup and teardown too: an engine of the session starts in its first test."""
    _reach.loopback = item.get_closest_marker("engine") is not None
    try:
        return (yield)
    finally:
        _reach.loopback = False


# --- no chance, one moment ---


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(0)


class FrozenClock(step.Clock):
    """Stands still until told to move."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def advance(self, **time: float) -> datetime:
        """Move on by `timedelta` arguments, for example `seconds=5`."""
        self.moment += timedelta(**time)
        return self.moment


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FrozenClock:
    """The time of every `Clock`, frozen at 2026-03-02T12:10:00Z."""
    frozen = FrozenClock(NOW)
    monkeypatch.setattr(step.Clock, "now", lambda _: frozen.moment)
    return frozen


# --- events ---


def read_event(name: str) -> dict[str, Any]:
    """An EventBridge event of tests/events."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


# --- AWS in the process ---


def _forget_cached() -> None:
    # The session stays: it has read botocore's service models, and knows no test.
    for cached in (clients.client, step.resource, settings.settings, platform.load):
        cached.cache_clear()
    observability.logger.cache_clear()


@pytest.fixture
def aws() -> Iterator[None]:
    """An empty account: moto answers every client made while the test runs."""
    _forget_cached()
    with mock_aws():
        yield
    _forget_cached()


@pytest.fixture
def run_table(aws: None) -> RunTable:
    """The run table as stacks/core.py makes it."""
    client = clients.client("dynamodb")
    client.create_table(
        TableName="run-table",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "open", "started_at")
        ],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": OPEN_RUNS_INDEX,
                "KeySchema": [
                    {"AttributeName": "open", "KeyType": "HASH"},
                    {"AttributeName": "started_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    return RunTable(client, "run-table")


@pytest.fixture
def environment(
    run_table: RunTable, use_platform: Any, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Variables of a function, with the topics they name."""
    variables = {
        "PREFIX": "remediation",
        "RUN_TABLE_NAME": run_table.name,
        "OPERATOR_TOPIC_ARN": clients.client("sns").create_topic(Name="operators")["TopicArn"],
        "CHAT_TOPIC_ARN": clients.client("sns").create_topic(Name="chat")["TopicArn"],
        "MACHINE_TIMEOUT_SECONDS": "3540",  # with the margin of 60 s, leases of one hour
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.settings.cache_clear()
    return variables


@pytest.fixture
def use_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Platform]:
    """Replace keys of the packaged platform file; unless called, it is `PLATFORM`."""
    file = tmp_path / "platform.json"
    monkeypatch.setattr(platform.load.__wrapped__, "__defaults__", (file,))

    def use(**overrides: Any) -> Platform:
        file.write_text(json.dumps(PLATFORM | overrides))
        platform.load.cache_clear()
        return platform.load()

    use()
    return use


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """One SNS message as a subscriber received it."""

    subject: str | None
    text: str
    attributes: dict[str, str]


class Inbox:
    """A queue subscribed to a topic; keeps what it has received."""

    def __init__(self, name: str, topic_arn: str) -> None:
        self._sqs = clients.client("sqs")
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        clients.client("sns").subscribe(
            TopicArn=topic_arn,
            Protocol="sqs",
            Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}",
        )
        self._received: list[Delivered] = []

    @property
    def messages(self) -> list[Delivered]:
        """Everything received so far, oldest first."""
        while found := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in found:
                body = json.loads(message["Body"])
                self._received.append(
                    Delivered(
                        subject=body.get("Subject"),
                        text=body["Message"],
                        attributes={
                            k: v["Value"] for k, v in body.get("MessageAttributes", {}).items()
                        },
                    )
                )
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return self._received


@pytest.fixture
def inbox(environment: dict[str, str]) -> Inbox:
    """What operators receive."""
    return Inbox("operators", environment["OPERATOR_TOPIC_ARN"])


@pytest.fixture
def chat_inbox(environment: dict[str, str]) -> Inbox:
    """What the chat receives."""
    return Inbox("chat", environment["CHAT_TOPIC_ARN"])


# --- the boto3 boundary ---


class _Http:
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


class Calls:
    """The calls of one API operation, noted at the boto3 boundary, and answered if told to."""

    def __init__(self, client: Any, operation: str) -> None:
        self.made: list[dict[str, Any]] = []
        self._answers: list[dict[str, Any]] = []
        name = f"{client.meta.service_model.service_id.hyphenize()}.{operation}"
        client.meta.events.register(f"provide-client-params.{name}", self._note)
        client.meta.events.register(f"before-call.{name}", self._answer)

    def will_answer(self, *answers: dict[str, Any]) -> None:
        """Answer the next calls without making them; later ones go through."""
        self._answers += answers

    def will_fail(self, code: str, *, times: int = 1, **fields: Any) -> None:
        """Fail the next calls with an error of AWS's shape."""
        error = {"Error": {"Code": code, "Message": code}, **fields}
        self.will_answer(*[error] * times)

    def _note(self, params: dict[str, Any], **_: Any) -> None:
        self.made.append(params)

    def _answer(self, **_: Any) -> tuple[_Http, dict[str, Any]] | None:
        if not self._answers:
            return None
        answer = self._answers.pop(0)
        return _Http(400 if "Error" in answer else 200), {"ResponseMetadata": {}, **answer}


@pytest.fixture
def calls_of(aws: None) -> Callable[[str, str], Calls]:
    """Watch an operation: `calls_of("lambda", "Invoke")`."""
    return lambda service, operation: Calls(clients.client(service), operation)

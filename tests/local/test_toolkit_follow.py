import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from local.toolkit import follow
from local.toolkit.console import Console
from local.toolkit.follow import Follower, FollowError, acted, cause, short_name

START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
MACHINES = {"remediation-lambda-errors": "arn:L", "remediation-api-gateway-errors": "arn:A"}


def at(seconds):
    return START + timedelta(seconds=seconds)


def state(name, entered, exited):
    return [
        {
            "type": "TaskStateEntered",
            "timestamp": at(entered),
            "stateEnteredEventDetails": {"name": name},
        },
        {
            "type": "TaskStateExited",
            "timestamp": at(exited),
            "stateExitedEventDetails": {"name": name},
        },
    ]


def alarm_input(name, seconds):
    stamp = at(seconds).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return json.dumps({"detail": {"alarmName": name, "state": {"timestamp": stamp}}})


class Executions:
    """Step Functions, as far as a follower reads it: closed executions by machine."""

    def __init__(self, by_machine):
        self.by_machine = by_machine
        self.all = {e["executionArn"]: e for group in by_machine.values() for e in group}

    def list_executions(self, **asked):
        return {"executions": self.by_machine.get(asked["stateMachineArn"], [])}

    def describe_execution(self, **asked):
        return self.all[asked["executionArn"]]

    def get_paginator(self, _operation):
        return self

    def paginate(self, **asked):
        return [{"events": self.all[asked["executionArn"]]["events"]}]


def execution(arn, start, stop, *, answer, events, alarm="chat-errors"):
    return {
        "executionArn": arn,
        "startDate": at(start),
        "stopDate": at(stop),
        "status": "SUCCEEDED",
        "input": alarm_input(alarm, start - 1),
        "output": json.dumps(answer),
        "events": events,
    }


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(follow, "_SETTLE_SECONDS", 0)
    monkeypatch.setattr(follow, "_POLL_SECONDS", 0)


@pytest.fixture
def two():
    return Executions(
        {
            "arn:L": [
                execution(
                    "x:one",
                    2,
                    9,
                    answer={"run_id": "lambda-errors:one", "outcome": "verified", "changes": [{}]},
                    events=[*state("Begin", 2, 3), *state("MoveAlias", 5, 6)],
                )
            ],
            "arn:A": [
                execution(
                    "x:two",
                    3.5,
                    10,
                    answer={
                        "run_id": "api-gateway-errors:two",
                        "outcome": "verified",
                        "joined": "lambda-errors:one",
                    },
                    events=state("Begin", 4, 4.5),
                    alarm="api-5xx",
                )
            ],
        }
    )


def followed(executions, machines=MACHINES, since=START):
    stream = io.StringIO()
    follower = Follower(Console(stream), executions, machines=machines, since=since)
    return follower.follow(within_seconds=1), stream.getvalue()


def test_lines_of_several_machines_are_merged_by_time_and_name_their_machine(two):
    _, text = followed(two)

    states = [line.split(" ....")[0] for line in text.splitlines() if " s  " in line]
    assert states == [
        "     +2.0 s  execution 1 of lambda-errors one",
        "     +3.5 s  execution 2 of api-gateway-errors two",
        "     +2.0 s  lambda-errors Begin",
        "     +4.0 s  api-gateway-errors Begin",
        "     +5.0 s  lambda-errors MoveAlias",
        "     +9.0 s  execution 1 of lambda-errors ended SUCCEEDED: verified",
        "    +10.0 s  execution 2 of api-gateway-errors ended SUCCEEDED: verified",
    ]


def test_one_machine_is_not_named_at_every_line(two):
    _, text = followed(two, machines={"remediation-lambda-errors": "arn:L"})

    assert "+2.0 s  Begin" in text
    assert "lambda-errors" not in text.replace("lambda-errors:one", "")


def test_followed_executions_say_who_acted_and_who_relied_on_it(two):
    executions, _ = followed(two)

    first, second = executions
    assert acted([second, first]) is first
    assert (second.alarm, second.alarm_at) == ("api-5xx", at(2.5).replace(microsecond=0))
    assert second.relies_on == first.run_id == "lambda-errors:one"


def test_every_machine_has_to_have_an_execution(two, monkeypatch):
    monkeypatch.setattr(follow, "_FIRST_SECONDS", 0.01)
    del two.by_machine["arn:A"]

    with pytest.raises(FollowError) as failure:
        followed(two)
    assert "no execution of api-gateway-errors started" in str(failure.value)


def test_executions_of_before_the_incident_are_not_followed(two, monkeypatch):
    monkeypatch.setattr(follow, "_FIRST_SECONDS", 0.01)

    with pytest.raises(FollowError):
        followed(two, since=at(60))


@pytest.mark.parametrize("text", [None, "{}", "not JSON", '{"target": {}}'])
def test_input_without_an_alarm_names_none(text):
    assert cause(text) == (None, None)


def test_short_name_is_without_the_prefix():
    assert short_name("remediation-lambda-errors") == "lambda-errors"

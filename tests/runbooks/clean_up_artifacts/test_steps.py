"""Steps of clean_up_artifacts through its functions, against simulated S3."""

import json
from datetime import timedelta
from typing import Any

import pytest

from lambdas.remediation import clients
from lambdas.remediation.contracts import Mode, iso
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError, WorldMovedError
from lambdas.runbooks.clean_up_artifacts import handler
from lambdas.runbooks.clean_up_artifacts.runbook import RUNBOOK

BUCKET = "artifacts"
TARGET = {"bucket_name": BUCKET}
ID = "remediation-expire-renders/"
LOGS = {
    "ID": "logs",
    "Status": "Enabled",
    "Filter": {"Prefix": "logs/"},
    "Expiration": {"Days": 7},
}
MACHINE = "arn:aws:states:us-east-1:123456789012:execution:remediation-clean-up-artifacts"


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture
def s3(environment, use_platform, clock) -> Any:
    use_platform(buckets=[{"bucket_name": BUCKET, "prefixes": ["renders/"]}])
    client = clients.client("s3")
    client.create_bucket(Bucket=BUCKET)
    client.put_bucket_lifecycle_configuration(
        Bucket=BUCKET, LifecycleConfiguration={"Rules": [LOGS]}
    )
    return client


class Execution:
    """One execution: its states are entered by hand, in the machine's order."""

    def __init__(self, name: str, clock: Any) -> None:
        self.run_id = f"clean-up-artifacts:{name}"
        self.described = {"arn": f"{MACHINE}:{name}", "name": name, "started_at": iso(clock.now())}
        self.variables: dict[str, Any] = {}

    def observe(self, step: str, **fields: Any) -> Any:
        event = {"step": step, "run_id": self.run_id, **fields}
        return handler.observe(json.loads(json.dumps(event)), Context())

    def change(self, step: str) -> Any:
        event = {"step": step, "run_id": self.run_id, "plan_hash": self.plan["hash"]}
        return handler.change(event, Context())

    def started(self, **given: Any) -> "Execution":
        self.observe("begin", execution=self.described, input=given)
        self.plan = self.observe("prepare")["plan"]
        return self

    def done(self, step: str = "put_lifecycle_rule") -> "Execution":
        self.variables["change"] = self.change(step)
        self.variables["verification"] = self.observe("verify", change=self.variables["change"])
        return self

    def answer(self) -> dict[str, Any]:
        found = self.observe("finish", execution=self.described, **self.variables)
        answer: dict[str, Any] = found["answer"]
        return answer


@pytest.fixture
def execution(s3, clock, use_platform):
    def start(name: str) -> Execution:
        return Execution(name, clock)

    return start


@pytest.fixture
def acting(use_platform):
    """A platform that lets this runbook act without a yes, on one object at most."""
    use_platform(
        buckets=[{"bucket_name": BUCKET, "prefixes": ["renders/"]}],
        runbooks={"clean_up_artifacts": {"mode": "act", "limits": {"max_expired_unasked": 1}}},
    )


def ids(s3: Any) -> list[str]:
    return [r["ID"] for r in s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]]


def test_asks_first_unless_the_platform_says_otherwise():
    assert RUNBOOK.mode is Mode.PROPOSE


def test_a_run_is_verified_and_undone(execution, s3, acting):
    answer = execution("one").started(target=TARGET).done().answer()
    added = ids(s3)
    undone = execution("two").started(undo="clean-up-artifacts:one").done("undo").answer()

    assert (answer["outcome"], added) == ("verified", ["logs", ID])
    assert (undone["outcome"], ids(s3)) == ("verified", ["logs"])


def test_a_failed_verification_takes_the_rule_away(execution, s3, acting):
    started = execution("one").started(target=TARGET)
    started.variables["change"] = started.change("put_lifecycle_rule")
    started.variables["rollback"] = started.change("roll_back")

    assert started.answer()["outcome"] == "rolled_back"
    assert ids(s3) == ["logs"]


def test_a_repeated_change_sets_nothing_again(execution, s3, acting):
    started = execution("one").started(target=TARGET)
    started.change("put_lifecycle_rule")

    (call,) = started.change("put_lifecycle_rule")["calls"]

    assert call["already_applied"] is True
    assert ids(s3) == ["logs", ID]


def test_observe_counts_and_changes_nothing(execution, s3, clock):
    for key in ("renders/one", "renders/two 2", "elsewhere/three"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"12345")
    clock.moment = s3.head_object(Bucket=BUCKET, Key="renders/one")["LastModified"] + timedelta(
        days=91
    )

    answer = execution("one").started(target=TARGET, mode="observe").answer()

    assert answer["outcome"] == "proposed"
    assert "2 objects (10 bytes) are older and expire at once." in answer["reason"]
    assert ids(s3) == ["logs"]


def test_a_run_that_does_not_ask_is_refused_when_much_would_expire(execution, s3, clock, acting):
    for key in ("renders/one", "renders/two"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"12345")
    clock.moment = s3.head_object(Bucket=BUCKET, Key="renders/one")["LastModified"] + timedelta(
        days=91
    )

    with pytest.raises(PrerequisiteNotMetError) as error:
        execution("one").started(target=TARGET)

    assert str(error.value) == (
        "bucket artifacts: 2 objects and versions would expire at once, the limit without a yes "
        'is 1 (max_expired_unasked); start again with "mode": "propose"'
    )


def test_undo_of_a_rule_that_somebody_changed_is_refused(execution, s3, acting):
    execution("one").started(target=TARGET).done().answer()
    s3.put_bucket_lifecycle_configuration(
        Bucket=BUCKET, LifecycleConfiguration={"Rules": [{**LOGS, "ID": ID}]}
    )

    with pytest.raises(WorldMovedError, match="is no longer what run clean-up-artifacts:one left"):
        execution("two").started(undo="clean-up-artifacts:one")


def test_undo_leaves_what_others_added_meanwhile(execution, s3, acting):
    execution("one").started(target=TARGET).done().answer()
    rules = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    s3.put_bucket_lifecycle_configuration(
        Bucket=BUCKET, LifecycleConfiguration={"Rules": [*rules, {**LOGS, "ID": "later"}]}
    )

    execution("two").started(undo="clean-up-artifacts:one").done("undo")

    assert ids(s3) == ["logs", "later"]


@pytest.mark.parametrize("parameters", [{"days": "90"}, {"storage_class": "GLACIER"}], ids=str)
def test_wrong_parameters_are_refused(execution, parameters):
    with pytest.raises(InvalidRequestError):
        execution("one").started(target=TARGET, parameters=parameters)

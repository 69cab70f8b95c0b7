"""back_up_dynamodb_table as a whole: its declaration, its machine, and runs through its functions.

The states of a run are entered by hand, in the order that the machine's file gives them.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lambdas.remediation import clients
from lambdas.remediation.contracts import Mode, iso
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.platform import Platform, Table
from lambdas.remediation.request import read_request
from lambdas.remediation.step import Role
from lambdas.runbooks.back_up_dynamodb_table import handler
from lambdas.runbooks.back_up_dynamodb_table.runbook import RUNBOOK
from stacks.catalog import discover
from stacks.runbook import composed

TABLE = "ChatSession-prod"
TARGET = {"table_name": TABLE}
TABLE_ID = "0a0a0a0a-1b1b-2c2c-3d3d-4e4e4e4e4e4e"
PLATFORM = Platform(name="test", tables=(Table(table_name=TABLE),))
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:remediation-back-up-dynamodb-table"
NAME = "remediation-ChatSession-prod-20260302T121000Z-234b79aec3dd"


class TestDeclaration:
    def read(self, **given: Any):
        return read_request(RUNBOOK, PLATFORM, "remediation", {"target": TARGET, **given})

    def test_acts_unless_asked_for_less(self):
        assert self.read().mode is Mode.ACT
        assert self.read(mode="observe").mode is Mode.OBSERVE

    def test_pruning_can_be_switched_off(self):
        assert self.read(parameters={"prune": False}).parameters == {"prune": False}

    @pytest.mark.parametrize(
        "parameters", [{"prune": "no"}, {"retention_days": 1}, {"minimum_kept": 0}], ids=str
    )
    def test_nobody_can_ask_for_more_deletions(self, parameters):
        with pytest.raises(InvalidRequestError):
            self.read(parameters=parameters)

    def test_nothing_starts_it_by_an_alarm(self):
        assert RUNBOOK.alarms(PLATFORM, "remediation") == ()

    def test_may_be_scheduled(self):
        assert RUNBOOK.schedulable is True


@pytest.fixture(scope="module")
def states() -> dict[str, Any]:
    (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
    machine: dict[str, Any] = composed(entry, PLATFORM)["States"]
    return machine


class TestMachine:
    def test_a_backup_is_made_and_looked_at_before_anything_is_deleted(self, states):
        assert states["ChooseMode"]["Default"] == "CreateBackup"
        assert states["CreateBackup"]["Next"] == "CheckBackup"
        assert states["CheckBackup"]["Next"] == "IsBackupGood"
        ways_to_prune = [
            name
            for name, state in states.items()
            for holder in [state, *state.get("Choices", []), *state.get("Catch", [])]
            if "PruneBackups" in (holder.get("Next"), holder.get("Default"))
        ]
        assert ways_to_prune == ["IsBackupGood"]

    def test_only_a_good_backup_leads_to_pruning(self, states):
        first, second, third, fourth = states["IsBackupGood"]["Choices"]

        assert first == {
            "Condition": "{% $settled.verdict = 'passed' and $plan.calls > 1 %}",
            "Next": "PruneBackups",
        }
        assert second == {"Condition": "{% $settled.verdict = 'passed' %}", "Next": "Verify"}
        assert third["Next"] == "WaitForBackup"
        assert fourth["Next"] == "RollBack"
        assert states["IsBackupGood"]["Default"] == "RollBack"

    def test_nothing_that_fails_while_pruning_takes_the_new_backup_back(self, states):
        prune = states["PruneBackups"]

        assert [c["Next"] for c in prune["Catch"]] == ["Verify"]
        assert prune["Next"] == "Verify"

    def test_a_failed_backup_is_rolled_back(self, states):
        for name in ("CreateBackup", "CheckBackup"):
            assert states[name]["Catch"][-1]["ErrorEquals"] == ["States.ALL"]
            assert states[name]["Catch"][-1]["Next"] == "RollBack"


class Context:
    """What the Lambda service passes beside the event."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


class Execution:
    """One execution of the machine: its variables, as the states assign them."""

    def __init__(self, name: str, started_at: datetime) -> None:
        arn = f"{MACHINE.replace(':stateMachine:', ':execution:')}:{name}"
        self.run_id = f"back-up-dynamodb-table:{name}"
        self.described = {"arn": arn, "name": name, "started_at": iso(started_at)}
        self.plan: dict[str, Any] = {}
        self.variables: dict[str, Any] = {}

    def observe(self, step: str, **fields: Any) -> Any:
        return self._call(Role.OBSERVE, step, **fields)

    def change(self, step: str, **fields: Any) -> Any:
        return self._call(Role.CHANGE, step, plan_hash=self.plan["hash"], **fields)

    def _call(self, role: Role, step: str, **fields: Any) -> Any:
        function = handler.observe if role is Role.OBSERVE else handler.change
        event = json.loads(json.dumps({"step": step, "run_id": self.run_id, **fields}))
        return json.loads(json.dumps(function(event, Context())))

    def started(self, **given: Any) -> "Execution":
        self.observe("begin", execution=self.described, input=given)
        self.plan = self.observe("prepare")["plan"]
        return self

    def backed_up(self) -> "Execution":
        """From CreateBackup to Verify, as the machine goes when nothing fails."""
        self.variables["change"] = self.change("create_backup")
        assert self.observe("check_backup")["verdict"] == "passed"
        if self.plan["calls"] > 1:
            made = self.change("prune_backups", change=self.variables["change"])
            self.variables["change"] = made
        return self.verified()

    def undone(self) -> "Execution":
        self.variables["change"] = self.change("undo")
        return self.verified()

    def verified(self) -> "Execution":
        self.variables["verification"] = self.observe("verify", change=self.variables["change"])
        return self

    def answer(self) -> dict[str, Any]:
        finished = self.observe("finish", execution=self.described, **self.variables)
        answer: dict[str, Any] = finished["answer"]
        return answer


@pytest.fixture
def dynamodb(environment):
    """The table in simulated DynamoDB; moto leaves out the id that tells it from others."""
    client = clients.client("dynamodb")
    client.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    def add_table_id(parsed, **_):
        for found in (
            parsed.get("Table"),
            parsed.get("BackupDescription", {}).get("SourceTableDetails"),
            *parsed.get("BackupSummaries", ()),
        ):
            if found is not None:
                found["TableId"] = TABLE_ID

    client.meta.events.register("after-call.dynamodb", add_table_id)
    return client


@pytest.fixture
def execution(dynamodb, clock):
    """Start executions: `execution("run-1")`. Backups are dated by the real clock."""
    return lambda name: Execution(name, clock.now())


def names(dynamodb) -> list[str]:
    found = dynamodb.list_backups(TableName=TABLE)["BackupSummaries"]
    return sorted(b["BackupName"] for b in found)


def two_old_ones(dynamodb, clock) -> list[str]:
    """Two backups of this runbook, 36 days before the run: one of them is to be kept."""
    clock.moment = datetime.now(UTC) + timedelta(days=36)
    made = [f"remediation-{TABLE}-2026010{day}T000000Z-aaaaaaaaaaaa" for day in (1, 2)]
    for name in made:
        dynamodb.create_backup(TableName=TABLE, BackupName=name)
    return made


class TestRun:
    def test_ends_verified_with_its_undo(self, execution, dynamodb):
        answer = execution("one").started(target=TARGET).backed_up().answer()

        assert answer["outcome"] == "verified"
        assert answer["reason"] == f"Back up table {TABLE} as {NAME}."
        assert names(dynamodb) == [NAME]
        assert '"undo": "back-up-dynamodb-table:one"' in answer["undo"]["command"]

    def test_observe_shows_the_calls_and_makes_none(self, execution, dynamodb, clock):
        old = two_old_ones(dynamodb, clock)

        answer = execution("one").started(target=TARGET, mode="observe").answer()

        assert answer["outcome"] == "proposed"
        assert [c["api"] for c in answer["plan"]["calls"]] == [
            "dynamodb:CreateBackup",
            "dynamodb:DeleteBackup",
        ]
        assert names(dynamodb) == old

    def test_deletes_what_has_expired(self, execution, dynamodb, clock):
        old = two_old_ones(dynamodb, clock)

        answer = execution("one").started(target=TARGET).backed_up().answer()

        assert answer["outcome"] == "verified"
        assert [c["api"] for c in answer["changes"]] == [
            "dynamodb:CreateBackup",
            "dynamodb:DeleteBackup",
        ]
        left = set(names(dynamodb))
        assert len(left & set(old)) == 1
        assert len(left - set(old)) == 1

    def test_a_failed_verification_deletes_the_backup_and_no_other(self, execution, dynamodb):
        dynamodb.create_backup(TableName=TABLE, BackupName="by-a-person")
        started = execution("one").started(target=TARGET)
        started.variables["change"] = started.change("create_backup")
        started.variables["rollback"] = started.change("roll_back")

        answer = started.answer()

        assert answer["outcome"] == "rolled_back"
        assert names(dynamodb) == ["by-a-person"]

    def test_undo_deletes_the_backup(self, execution, dynamodb):
        execution("one").started(target=TARGET).backed_up().answer()

        answer = execution("two").started(undo="back-up-dynamodb-table:one").undone().answer()

        assert answer["outcome"] == "verified"
        assert names(dynamodb) == []

    def test_undo_leaves_what_was_pruned_and_deletes_the_backup(self, execution, dynamodb, clock):
        old = two_old_ones(dynamodb, clock)
        execution("one").started(target=TARGET).backed_up().answer()
        clock.advance(seconds=100)

        answer = execution("two").started(undo="back-up-dynamodb-table:one").undone().answer()

        assert answer["outcome"] == "verified"
        assert len(names(dynamodb)) == 1
        assert set(names(dynamodb)) < set(old)

    def test_undo_of_a_backup_that_is_gone_is_refused(self, execution, dynamodb):
        execution("one").started(target=TARGET).backed_up().answer()
        (found,) = dynamodb.list_backups(TableName=TABLE)["BackupSummaries"]
        dynamodb.delete_backup(BackupArn=found["BackupArn"])

        with pytest.raises(PrerequisiteNotMetError):
            execution("two").started(undo="back-up-dynamodb-table:one")

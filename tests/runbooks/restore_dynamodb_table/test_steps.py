"""Steps of restore_dynamodb_table through its functions, against simulated AWS.

moto restores at once, counts no items in a backup and knows no restore that is under way: `Facts`
says of the restored table what DynamoDB would say.
"""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.remediation import clients
from lambdas.remediation.contracts import Mode, iso
from lambdas.remediation.errors import (
    ChangeFailedError,
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
)
from lambdas.runbooks.restore_dynamodb_table import handler
from lambdas.runbooks.restore_dynamodb_table.runbook import RUNBOOK

TABLE, POINTER = "orders", "/shop/orders"
TARGET = {"table_name": TABLE}
# sha256("restore-dynamodb-table:one")
NEW = "orders-restored-5aab0be3eaf7"
MACHINE = "arn:aws:states:us-east-1:123456789012:execution:remediation-restore-dynamodb-table"


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


class Aws:
    """Simulated AWS with one backed up table, and what is to be said or refused of it."""

    def __init__(self) -> None:
        self.dynamodb = clients.client("dynamodb")
        self.ssm = clients.client("ssm")
        self.facts: dict[str, Any] = {}
        self.errors: dict[str, str] = {}
        self.calls: list[str] = []
        self.dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            DeletionProtectionEnabled=True,
            Tags=[
                {"Key": "team", "Value": "payments"},
                {"Key": "aws:cloudformation:stack-name", "Value": "Shop"},
            ],
        )
        for key in ("a", "b"):
            self.dynamodb.put_item(TableName=TABLE, Item={"id": {"S": key}})
        made = self.dynamodb.create_backup(TableName=TABLE, BackupName="before-the-accident")
        self.backup_arn = made["BackupDetails"]["BackupArn"]
        self.ssm.put_parameter(Name=POINTER, Value=TABLE, Type="String")
        self.pointer_version = 1
        for client in (self.dynamodb, self.ssm):
            service = client.meta.service_model.service_id.hyphenize()
            client.meta.events.register_last(f"before-call.{service}", self._before_call)
        self.dynamodb.meta.events.register("after-call.dynamodb.DescribeTable", self._describe)

    def _before_call(self, model: Any, params: Any, **_: Any) -> None:
        if "run-table" in str(params["body"]):
            return
        self.calls.append(model.name)
        if model.name in self.errors:
            code = self.errors[model.name]
            raise ClientError({"Error": {"Code": code, "Message": "why"}}, model.name)

    def _describe(self, parsed: Any, **_: Any) -> None:
        if parsed.get("Table", {}).get("TableName", "").startswith(f"{TABLE}-restored-"):
            parsed["Table"].update(self.facts)

    def tables(self) -> list[str]:
        found = self.dynamodb.list_tables()["TableNames"]
        return [name for name in found if name != "run-table"]

    def pointer(self) -> str:
        value: str = self.ssm.get_parameter(Name=POINTER)["Parameter"]["Value"]
        return value


@pytest.fixture
def simulated(environment, use_platform) -> Aws:
    """The platform lets this runbook act without a yes."""
    use_platform(
        tables=[{"table_name": TABLE, "pointer_parameter": POINTER}],
        runbooks={"restore_dynamodb_table": {"mode": "act"}},
    )
    return Aws()


class Execution:
    """One execution: its states are entered by hand, in the machine's order."""

    def __init__(self, name: str, clock: Any) -> None:
        self.run_id = f"restore-dynamodb-table:{name}"
        self.described = {"arn": f"{MACHINE}:{name}", "name": name, "started_at": iso(clock.now())}
        self.variables: dict[str, Any] = {}

    def observe(self, step: str, **fields: Any) -> Any:
        event = {"step": step, "run_id": self.run_id, **fields}
        return handler.observe(json.loads(json.dumps(event)), Context())

    def change(self, step: str) -> Any:
        event = {
            "step": step,
            "run_id": self.run_id,
            "plan_hash": self.plan["hash"],
            "change": self.variables.get("change"),
        }
        return handler.change(json.loads(json.dumps(event)), Context())

    def started(self, **given: Any) -> "Execution":
        self.observe("begin", execution=self.described, input=given)
        self.plan = self.observe("prepare")["plan"]
        return self

    def changed(self, *steps: str) -> "Execution":
        for step in steps:
            self.variables["change"] = self.change(step)
        return self

    def verified(self) -> "Execution":
        self.variables["verification"] = self.observe("verify", change=self.variables["change"])
        return self

    def answer(self) -> dict[str, Any]:
        found = self.observe("finish", execution=self.described, **self.variables)
        answer: dict[str, Any] = found["answer"]
        return answer


@pytest.fixture
def execution(simulated, clock):
    return lambda name: Execution(name, clock)


@pytest.fixture
def approved(simulated, execution):
    """A run with a cut-over that somebody has said yes to."""

    def start(name: str, **given: Any) -> Execution:
        started = execution(name).started(**given, mode="propose")
        simulated.dynamodb.update_item(
            TableName="run-table",
            Key={"pk": {"S": f"RUN#restore-dynamodb-table:{name}"}},
            UpdateExpression="SET decision = :yes",
            ExpressionAttributeValues={":yes": {"S": "approve"}},
        )
        started.observe("claim")
        return started

    return start


RESTORED = ("start_restore", "apply_settings")
CUT_OVER: dict[str, Any] = {"target": TARGET, "parameters": {"cut_over": True}}


def test_asks_first_unless_the_platform_says_otherwise():
    assert RUNBOOK.mode is Mode.PROPOSE


class TestPlan:
    def test_names_the_settings_and_leaves_out_the_tags_of_aws(self, execution):
        answer = execution("one").started(target=TARGET, mode="observe").answer()

        calls = answer["plan"]["calls"]
        assert [c["api"] for c in calls] == [
            "dynamodb:RestoreTableFromBackup",
            "dynamodb:TagResource",
            "dynamodb:UpdateTable",
        ]
        assert calls[0]["after"] == {"TableName": NEW}
        assert calls[1]["after"] == {"tag/team": "payments"}

    def test_changes_nothing(self, execution, simulated):
        execution("one").started(target=TARGET, mode="observe")

        assert simulated.tables() == [TABLE]

    def test_a_moment_without_point_in_time_recovery_is_refused(self, execution):
        with pytest.raises(InvalidRequestError):
            execution("one").started(
                target=TARGET, parameters={"restore_time": "2026-03-02T11:00:00Z"}
            )

    @pytest.mark.parametrize(
        "parameters", [{"restore_time": "yesterday"}, {"cut_over": "yes"}], ids=str
    )
    def test_wrong_parameters_are_refused(self, execution, parameters):
        with pytest.raises(InvalidRequestError):
            execution("one").started(target=TARGET, parameters=parameters)

    def test_a_pointer_that_names_another_table_is_refused(self, simulated, execution):
        simulated.ssm.put_parameter(Name=POINTER, Value="other", Overwrite=True)

        with pytest.raises(PrerequisiteNotMetError):
            execution("one").started(**CUT_OVER, mode="propose")


class TestRestore:
    def test_is_verified(self, execution, simulated):
        started = execution("one").started(target=TARGET).changed("start_restore")
        assert started.observe("check_restore", attempt=1, attempts=5)["verdict"] == "passed"
        started.changed("apply_settings")
        assert started.observe("check_copy")["verdict"] == "passed"

        answer = started.changed("cut_over").verified().answer()

        assert answer["outcome"] == "verified", answer["reason"]
        assert [c["api"] for c in answer["changes"]] == [
            "dynamodb:RestoreTableFromBackup",
            "dynamodb:TagResource",
            "dynamodb:UpdateTable",
        ]
        assert simulated.tables() == [TABLE, NEW]
        assert simulated.pointer() == TABLE
        assert '"undo": "restore-dynamodb-table:one"' in answer["undo"]["command"]

    def test_a_repeated_start_restores_once(self, execution, simulated):
        started = execution("one").started(target=TARGET).changed("start_restore")
        simulated.calls.clear()

        (call,) = started.change("start_restore")["calls"]

        assert call["already_applied"] is True
        assert "RestoreTableFromBackup" not in simulated.calls

    @pytest.mark.parametrize(
        "facts",
        [{"TableStatus": "CREATING"}, {"RestoreSummary": {"RestoreInProgress": True}}],
        ids=["table", "items"],
    )
    def test_is_waited_for(self, execution, simulated, facts):
        started = execution("one").started(target=TARGET).changed("start_restore")
        simulated.facts = facts

        early = started.observe("check_restore", attempt=1, attempts=2)
        last = started.observe("check_restore", attempt=2, attempts=2)

        assert (early["verdict"], last["verdict"]) == ("pending", "inconclusive")

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("TableInUseException", ResourceBusyError),
            ("BackupInUseException", ResourceBusyError),
            ("LimitExceededException", ChangeFailedError),
            ("BackupNotFoundException", ChangeFailedError),
        ],
    )
    def test_refused(self, execution, simulated, code, error):
        started = execution("one").started(target=TARGET)
        simulated.errors["RestoreTableFromBackup"] = code

        with pytest.raises(error):
            started.change("start_restore")

    def test_a_refused_setting_costs_neither_the_others_nor_the_table(self, execution, simulated):
        started = execution("one").started(target=TARGET).changed("start_restore")
        simulated.errors["TagResource"] = "ValidationException"

        answer = started.changed("apply_settings", "cut_over").verified().answer()

        assert answer["outcome"] == "ineffective"
        assert "look at it by hand: settings as planned" in answer["reason"]
        found = simulated.dynamodb.describe_table(TableName=NEW)["Table"]
        assert found["DeletionProtectionEnabled"] is True

    def test_a_failed_one_is_deleted(self, execution, simulated):
        started = execution("one").started(target=TARGET).changed(*RESTORED)

        started.variables["rollback"] = started.change("roll_back")

        assert started.answer()["outcome"] == "rolled_back"
        assert simulated.tables() == [TABLE]

    def test_the_only_copy_is_not_deleted(self, execution, simulated):
        started = execution("one").started(target=TARGET).changed(*RESTORED)
        simulated.dynamodb.update_table(TableName=TABLE, DeletionProtectionEnabled=False)
        simulated.dynamodb.delete_table(TableName=TABLE)

        with pytest.raises(RollbackFailedError):
            started.change("roll_back")

        assert simulated.tables() == [NEW]


class TestCutOver:
    def test_moves_the_pointer_and_undo_moves_it_back(self, approved, execution, simulated):
        started = approved("one", **CUT_OVER).changed(*RESTORED, "cut_over")
        answer, moved_to = started.verified().answer(), simulated.pointer()

        undo = execution("two").started(undo="restore-dynamodb-table:one")
        undone = undo.changed("undo").verified().answer()

        assert (answer["outcome"], moved_to) == ("verified", NEW), answer["reason"]
        assert (undone["outcome"], simulated.pointer()) == ("verified", TABLE)
        assert simulated.tables() == [TABLE, NEW]

    def test_that_fails_keeps_the_restored_table(self, approved, simulated):
        started = approved("one", **CUT_OVER).changed(*RESTORED)
        simulated.errors["PutParameter"] = "ParameterPatternMismatchException"

        answer = started.changed("cut_over").verified().answer()

        assert answer["outcome"] == "ineffective"
        assert "parameter /shop/orders was not changed, so nothing uses it" in answer["reason"]
        assert (simulated.pointer(), simulated.tables()) == (TABLE, [TABLE, NEW])

    def test_never_over_somebody_elses_change(self, approved, simulated):
        started = approved("one", **CUT_OVER).changed(*RESTORED)
        simulated.ssm.put_parameter(Name=POINTER, Value="other", Overwrite=True)

        answer = started.changed("cut_over").verified().answer()

        assert (answer["outcome"], simulated.pointer()) == ("ineffective", "other")

    def test_rolled_back_before_it_happened_deletes_the_table(self, approved, simulated):
        started = approved("one", **CUT_OVER).changed(*RESTORED)

        started.change("roll_back")

        assert (simulated.tables(), simulated.pointer()) == ([TABLE], TABLE)

    def test_rolled_back_after_it_happened_keeps_the_table_however_often(self, approved, simulated):
        started = approved("one", **CUT_OVER).changed(*RESTORED, "cut_over")

        started.change("roll_back")
        started.change("roll_back")

        assert (simulated.tables(), simulated.pointer()) == ([TABLE, NEW], TABLE)


class TestUndo:
    def test_deletes_the_protected_table_after_a_yes(self, approved, execution, simulated):
        execution("one").started(target=TARGET).changed(*RESTORED, "cut_over").verified().answer()

        undo = approved("two", undo="restore-dynamodb-table:one")
        answer = undo.changed("undo").verified().answer()

        assert answer["outcome"] == "verified"
        assert simulated.tables() == [TABLE]

    def test_refuses_unasked(self, execution, simulated):
        execution("one").started(target=TARGET).changed(*RESTORED, "cut_over").verified().answer()

        with pytest.raises(PrerequisiteNotMetError):
            execution("two").started(undo="restore-dynamodb-table:one")

    def test_refuses_while_a_pointer_names_the_table(self, execution, simulated):
        execution("one").started(target=TARGET).changed(*RESTORED, "cut_over").verified().answer()
        simulated.ssm.put_parameter(Name=POINTER, Value=NEW, Overwrite=True)

        with pytest.raises(PrerequisiteNotMetError) as error:
            execution("two").started(undo="restore-dynamodb-table:one", mode="propose")

        assert "the application uses it" in str(error.value)

"""Steps of back_up_dynamodb_table against simulated AWS: calls, changes, errors and answers."""

import dataclasses
import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from lambdas.remediation import settings
from lambdas.remediation.contracts import (
    Change,
    Decision,
    Execution,
    Kind,
    Mode,
    Plan,
    Run,
    Trigger,
    Verdict,
    encode,
)
from lambdas.remediation.errors import (
    ChangeFailedError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.resources.dynamodb_backup import DynamoDbBackups
from lambdas.remediation.step import Attempt, Clock, steps_of
from lambdas.runbooks.back_up_dynamodb_table import steps
from lambdas.runbooks.back_up_dynamodb_table.runbook import RUNBOOK

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
TABLE_ID = "0a0a0a0a-1b1b-2c2c-3d3d-4e4e4e4e4e4e"
EARLIER_ID = "ffffffff-1b1b-2c2c-3d3d-4e4e4e4e4e4e"
NAME = "remediation-orders-20260302T120000Z-234b79aec3dd"
EARLY, LAST = Attempt(number=1, final=False), Attempt(number=40, final=True)


@functools.cache
def _session() -> boto3.session.Session:
    # One for the module: a session parses the service models again.
    return boto3.session.Session(
        aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )


class FixedClock(Clock):
    def now(self) -> datetime:
        return NOON


class Aws:
    """Simulated DynamoDB with the table `orders` and its index, and a record of the calls made.

    moto leaves out the table's id and the indexes in a backup, knows no unfinished backup, and
    makes every one today: `facts` says for a backup's name what DynamoDB would say.
    """

    def __init__(self) -> None:
        self.dynamodb = _session().client("dynamodb")
        self.calls: list[str] = []
        self.errors: dict[str, str] = {}
        self.table_id = TABLE_ID
        self.facts: dict[str, dict] = {}
        self._create_table()
        events = self.dynamodb.meta.events
        events.register_last("before-call.dynamodb", self._before_call)
        events.register("after-call.dynamodb", self._after_call)
        self.backups = DynamoDbBackups(self.dynamodb)

    def _create_table(self) -> None:
        self.dynamodb.create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "day", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-day",
                    "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )

    def _before_call(self, model, params, **_):
        call = f"dynamodb:{model.name}"
        self.calls.append(call)
        for key, code in self.errors.items():
            if key == call or key in str(params["body"]):
                raise ClientError({"Error": {"Code": code, "Message": "why"}}, model.name)

    def _after_call(self, parsed, **_):
        if "Table" in parsed:
            parsed["Table"]["TableId"] = self.table_id
        for summary in parsed.get("BackupSummaries", ()):
            facts = self._facts(summary["BackupName"])
            del facts["index_names"]
            summary.update(facts)
        if "BackupDescription" in parsed:
            found = parsed["BackupDescription"]
            facts = self._facts(found["BackupDetails"]["BackupName"])
            found["SourceTableDetails"]["TableId"] = facts.pop("TableId")
            found["SourceTableFeatureDetails"] = {
                "GlobalSecondaryIndexes": [{"IndexName": i} for i in facts.pop("index_names")]
            }
            found["BackupDetails"].update(facts)

    def _facts(self, name: str) -> dict:
        return {"TableId": TABLE_ID, "index_names": ["by-day"], **self.facts.get(name, {})}

    def old(self, days: int, **facts) -> str:
        """Make a backup of this runbook, so many days old; gives its ARN."""
        name = f"remediation-orders-20260101T000000Z-{days:012x}"
        self.facts[name] = {"BackupCreationDateTime": NOON - timedelta(days=days), **facts}
        made = self.dynamodb.create_backup(TableName="orders", BackupName=name)
        return made["BackupDetails"]["BackupArn"]

    def arns(self) -> set[str]:
        return {b.backup_arn for b in self.backups.of_table("orders")}

    def names(self) -> list[str]:
        return [b.backup_name for b in self.backups.of_table("orders")]

    def prepare(self, run: Run):
        return steps.prepare(run=run, clock=FixedClock(), backups=self.backups)

    def create(self, plan: Plan) -> Change:
        return steps.create_backup(plan=plan, clock=FixedClock(), backups=self.backups)

    def check(self, plan: Plan, attempt: Attempt = EARLY):
        return steps.check_backup(plan=plan, attempt=attempt, backups=self.backups)

    def prune(self, plan: Plan, change: Change | None) -> Change:
        return steps.prune_backups(
            plan=plan, change=change, clock=FixedClock(), backups=self.backups
        )

    def verify(self, run: Run, plan: Plan, attempt: Attempt = EARLY):
        return steps.verify(run=run, plan=plan, attempt=attempt, backups=self.backups)

    def hold(self, plan: Plan):
        return steps.watch_hold(plan=plan, backups=self.backups)

    def check_undo(self, run: Run, plan: Plan) -> None:
        steps.check_undo(run=run, plan=plan, backups=self.backups)

    def roll_back(self, plan: Plan) -> Change:
        return steps.roll_back(plan=plan, clock=FixedClock(), backups=self.backups)


@pytest.fixture
def aws(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("RUN_TABLE_NAME", "OPERATOR_TOPIC_ARN", "CHAT_TOPIC_ARN"):
        monkeypatch.setenv(name, "unused")
    monkeypatch.setenv("PREFIX", "remediation")
    monkeypatch.setenv("MACHINE_TIMEOUT_SECONDS", "3540")
    settings.settings.cache_clear()
    with mock_aws():
        yield Aws()
    settings.settings.cache_clear()


@pytest.fixture
def run() -> Run:
    return Run(
        id="back-up-dynamodb-table:one",
        runbook="back_up_dynamodb_table",
        kind=Kind.CHANGE,
        mode=Mode.ACT,
        trigger=Trigger.PERSON,
        target={"table_name": "orders"},
        target_arn=ARN,
        parameters={},
        reason="",
        requested_by="person",
        execution=Execution(
            arn="arn:aws:states:us-east-1:123456789012:execution:remediation-x:one",
            name="one",
            started_at=NOON,
        ),
        lease_until=NOON + timedelta(hours=2),
        limits=RUNBOOK.limits.as_dict(),
        options=dict(RUNBOOK.options),
    )


@pytest.fixture
def undo(run) -> Run:
    return dataclasses.replace(run, id="back-up-dynamodb-table:two", kind=Kind.UNDO, undoes=run.id)


@pytest.fixture
def plan(aws, run) -> Plan:
    """One backup, nothing to delete."""
    made = aws.prepare(run).plan
    aws.calls.clear()
    return made


@dataclasses.dataclass
class Expired:
    """Two expired backups that are to be deleted, a younger one that stays, and the plan."""

    first: str
    second: str
    young: str
    plan: Plan


@pytest.fixture
def expired(aws, run) -> Expired:
    first, second, young = aws.old(50), aws.old(40), aws.old(1)
    made = Expired(first, second, young, aws.prepare(run).plan)
    aws.calls.clear()
    return made


def inverse(plan: Plan) -> Plan:
    """The undo run's plan: what can be taken back, taken back."""
    calls = [c.inverse() for c in reversed(plan.calls) if c.reversible]
    return Plan(decision=Decision.CHANGE, reason="undo", calls=calls)


class TestPrepare:
    def test_plans_a_backup_and_records_table_and_own_backups(self, aws, run):
        arn = aws.old(1)
        aws.dynamodb.create_backup(TableName="orders", BackupName="by-a-person")

        prepared = aws.prepare(run)

        assert [c.after for c in prepared.plan.calls] == [{"BackupName": NAME}]
        assert prepared.snapshot["table"] == {
            "table_name": "orders",
            "table_arn": ARN,
            "table_id": TABLE_ID,
            "status": "ACTIVE",
            "index_names": ["by-day"],
        }
        assert [b["backup_arn"] for b in prepared.snapshot["backups"]] == [arn]

    def test_plans_the_deletion_of_expired_backups(self, aws, run):
        first, second = aws.old(50), aws.old(40)
        aws.old(1)

        plan = aws.prepare(run).plan

        assert [c.resource for c in plan.calls] == [ARN, first, second]

    def test_a_person_may_keep_them(self, aws, run):
        aws.old(50)
        aws.old(1)

        plan = aws.prepare(dataclasses.replace(run, parameters={"prune": False})).plan

        assert [c.api for c in plan.calls] == ["dynamodb:CreateBackup"]

    def test_limits_of_the_run_count(self, aws, run):
        first = aws.old(50)
        aws.old(40)
        aws.old(1)
        limits = {**run.limits, "max_pruned_per_run": 1}

        plan = aws.prepare(dataclasses.replace(run, limits=limits)).plan

        assert [c.resource for c in plan.calls] == [ARN, first]

    def test_the_same_plan_each_time_it_is_retried(self, aws, run):
        aws.old(50)
        aws.old(1)
        first = aws.prepare(run).plan

        assert aws.prepare(run).plan == first

    def test_answer_is_plain_json(self, aws, run):
        aws.old(1)

        data = encode(aws.prepare(run))

        assert data["snapshot"]["backups"][0]["created_at"] == "2026-03-01T12:00:00.000Z"
        assert data["plan"]["calls"][0]["before"] == {"BackupName": None}

    def test_changes_nothing(self, aws, run):
        aws.old(50)
        aws.old(1)
        before = aws.arns()

        aws.prepare(run)

        assert aws.arns() == before

    def test_no_such_table(self, aws, run):
        aws.dynamodb.delete_table(TableName="orders")

        with pytest.raises(TargetNotFoundError):
            aws.prepare(run)

    def test_throttled(self, aws, run):
        aws.errors["dynamodb:ListBackups"] = "ThrottlingException"

        with pytest.raises(ThrottledError):
            aws.prepare(run)


class TestCreateBackup:
    def test_makes_one_backup(self, aws, plan):
        change = aws.create(plan)

        assert aws.names() == [NAME]
        assert [(c.api, c.after, c.already_applied) for c in change.calls] == [
            ("dynamodb:CreateBackup", {"BackupName": NAME}, False)
        ]
        assert change.applied_at == NOON

    def test_a_second_time_makes_no_other(self, aws, plan):
        aws.create(plan)

        change = aws.create(plan)

        assert aws.names() == [NAME]
        assert change.calls[0].already_applied is True

    def test_deletes_nothing(self, aws, expired):
        aws.create(expired.plan)

        assert aws.arns() > {expired.first, expired.second, expired.young}

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("TableInUseException", ResourceBusyError),
            ("BackupInUseException", ResourceBusyError),
            ("ThrottlingException", ThrottledError),
            ("ContinuousBackupsUnavailableException", ChangeFailedError),
            ("LimitExceededException", ChangeFailedError),
            ("TableNotFoundException", ChangeFailedError),
        ],
    )
    def test_refused(self, aws, plan, code, error):
        aws.errors["dynamodb:CreateBackup"] = code

        with pytest.raises(error):
            aws.create(plan)


class TestCheckBackup:
    def test_good(self, aws, plan):
        aws.create(plan)

        assert aws.check(plan).verdict is Verdict.PASSED

    def test_waits_until_it_is_finished(self, aws, plan):
        aws.create(plan)
        aws.facts[NAME] = {"BackupStatus": "CREATING"}

        assert aws.check(plan).verdict is Verdict.PENDING
        assert aws.check(plan, LAST).verdict is Verdict.FAILED

    def test_waits_until_it_is_listed(self, aws, plan):
        assert aws.check(plan).verdict is Verdict.PENDING

    def test_of_another_table(self, aws, plan):
        aws.create(plan)
        aws.facts[NAME] = {"TableId": EARLIER_ID}

        assert aws.check(plan).verdict is Verdict.FAILED

    def test_without_the_index(self, aws, plan):
        aws.create(plan)
        aws.facts[NAME] = {"index_names": []}

        assert aws.check(plan).verdict is Verdict.FAILED

    def test_a_table_that_was_deleted_meanwhile_does_not_cost_its_backup(self, aws, plan):
        aws.create(plan)
        aws.dynamodb.delete_table(TableName="orders")

        assert aws.check(plan).verdict is Verdict.PASSED

    def test_throttled(self, aws, plan):
        aws.create(plan)
        aws.errors["dynamodb:DescribeBackup"] = "ThrottlingException"

        with pytest.raises(ThrottledError):
            aws.check(plan)


class TestPruneBackups:
    @pytest.fixture
    def change(self, aws, expired) -> Change:
        return aws.create(expired.plan)

    def test_deletes_what_was_planned_and_nothing_else(self, aws, expired, change):
        aws.dynamodb.create_backup(TableName="orders", BackupName="by-a-person")
        before = aws.arns()

        pruned = aws.prune(expired.plan, change)

        assert before - aws.arns() == {expired.first, expired.second}
        assert [(c.api, c.resource) for c in pruned.calls] == [
            ("dynamodb:CreateBackup", ARN),
            ("dynamodb:DeleteBackup", expired.first),
            ("dynamodb:DeleteBackup", expired.second),
        ]

    def test_a_second_time_deletes_nothing(self, aws, expired, change):
        aws.prune(expired.plan, change)
        aws.calls.clear()

        pruned = aws.prune(expired.plan, change)

        assert "dynamodb:DeleteBackup" not in aws.calls
        assert [c.already_applied for c in pruned.calls] == [False, True, True]

    @pytest.mark.parametrize(
        "bad",
        [{"BackupStatus": "CREATING"}, {"TableId": EARLIER_ID}, {"index_names": []}],
        ids=str,
    )
    def test_deletes_nothing_unless_the_new_backup_is_good(self, aws, expired, change, bad):
        aws.facts[NAME] = bad

        pruned = aws.prune(expired.plan, change)

        assert aws.arns() >= {expired.first, expired.second, expired.young}
        assert pruned.calls == change.calls

    def test_deletes_nothing_if_the_new_backup_is_gone(self, aws, expired, change):
        aws.roll_back(expired.plan)

        aws.prune(expired.plan, change)

        assert aws.arns() == {expired.first, expired.second, expired.young}

    def test_deletes_nothing_if_the_new_backup_cannot_be_read(self, aws, expired, change):
        aws.errors["dynamodb:ListBackups"] = "ThrottlingException"

        assert aws.prune(expired.plan, change).calls == change.calls
        assert "dynamodb:DeleteBackup" not in aws.calls

    @pytest.mark.parametrize(
        "code", ["BackupInUseException", "ThrottlingException", "LimitExceededException"]
    )
    def test_one_that_cannot_be_deleted_is_left_and_the_others_go(self, aws, expired, change, code):
        self.refuse_deletion(aws, expired.first, code)

        pruned = aws.prune(expired.plan, change)

        assert aws.arns() & {expired.first, expired.second} == {expired.first}
        assert [c.resource for c in pruned.calls] == [ARN, expired.second]

    def refuse_deletion(self, aws, backup_arn: str, code: str) -> None:
        def refuse(params, **_):
            if backup_arn in str(params["body"]):
                raise ClientError({"Error": {"Code": code, "Message": "why"}}, "DeleteBackup")

        aws.dynamodb.meta.events.register("before-call.dynamodb.DeleteBackup", refuse)

    def test_a_defect_of_the_role_is_not_hidden(self, aws, expired, change):
        aws.errors["dynamodb:DeleteBackup"] = "AccessDeniedException"

        with pytest.raises(ClientError):
            aws.prune(expired.plan, change)


class TestVerify:
    def test_a_good_backup(self, aws, run, plan):
        aws.create(plan)

        assert aws.verify(run, plan).verdict is Verdict.PASSED

    def test_no_backup(self, aws, run, plan):
        assert aws.verify(run, plan).verdict is Verdict.PENDING
        assert aws.verify(run, plan, LAST).verdict is Verdict.FAILED

    def test_tells_what_was_deleted(self, aws, run, expired):
        aws.prune(expired.plan, aws.create(expired.plan))

        found = aws.verify(run, expired.plan)

        assert found.verdict is Verdict.PASSED
        assert found.reason.endswith("; 2 expired backups deleted")

    def test_expired_backups_that_are_left_do_not_fail_it(self, aws, run, expired):
        aws.create(expired.plan)

        found = aws.verify(run, expired.plan, LAST)

        assert found.verdict is Verdict.PASSED
        assert found.reason.endswith("; 0 expired backups deleted, 2 left for the next run")

    def test_an_undo_passes_when_the_backup_is_gone(self, aws, undo, plan):
        aws.create(plan)
        early = aws.verify(undo, inverse(plan))
        late = aws.verify(undo, inverse(plan), LAST)
        aws.roll_back(plan)

        gone = aws.verify(undo, inverse(plan))

        assert (early.verdict, late.verdict) == (Verdict.PENDING, Verdict.FAILED)
        assert (gone.verdict, gone.reason) == (Verdict.PASSED, "the backup is deleted")


class TestWatchHold:
    def test_still_there(self, aws, plan):
        aws.create(plan)

        assert aws.hold(plan).verdict is Verdict.PASSED

    def test_deleted_by_somebody(self, aws, plan):
        aws.create(plan)
        aws.roll_back(plan)

        assert aws.hold(plan).verdict is Verdict.FAILED


class TestCheckUndo:
    def test_allows_to_delete_a_finished_backup(self, aws, undo, plan):
        aws.create(plan)

        aws.check_undo(undo, inverse(plan))

        assert aws.names() == [NAME]

    def test_refuses_an_unfinished_one(self, aws, undo, plan):
        aws.create(plan)
        aws.facts[NAME] = {"BackupStatus": "CREATING"}

        with pytest.raises(PrerequisiteNotMetError) as caught:
            aws.check_undo(undo, inverse(plan))

        assert f"{NAME} is CREATING" in str(caught.value)

    def test_refuses_when_the_table_is_gone(self, aws, undo, plan):
        aws.create(plan)
        aws.dynamodb.delete_table(TableName="orders")

        with pytest.raises(PrerequisiteNotMetError) as caught:
            aws.check_undo(undo, inverse(plan))

        assert "may be the last copy" in str(caught.value)

    def test_refuses_when_another_table_took_its_name(self, aws, undo, plan):
        aws.create(plan)
        aws.table_id = EARLIER_ID

        with pytest.raises(PrerequisiteNotMetError):
            aws.check_undo(undo, inverse(plan))


class TestRollBack:
    def test_deletes_the_backup_of_this_run_only(self, aws, expired):
        aws.create(expired.plan)

        change = aws.roll_back(expired.plan)

        assert aws.arns() == {expired.first, expired.second, expired.young}
        assert [(c.api, c.before, c.after) for c in change.calls] == [
            ("dynamodb:CreateBackup", {"BackupName": NAME}, {"BackupName": None})
        ]

    def test_what_was_pruned_does_not_stop_it(self, aws, expired):
        aws.prune(expired.plan, aws.create(expired.plan))

        aws.roll_back(expired.plan)

        assert aws.arns() == {expired.young}

    def test_without_a_backup_there_is_nothing_to_do(self, aws, plan):
        assert aws.roll_back(plan).calls == []
        assert "dynamodb:DeleteBackup" not in aws.calls

    def test_a_second_time_changes_nothing(self, aws, plan):
        aws.create(plan)
        aws.roll_back(plan)

        assert aws.roll_back(plan).calls == []

    def test_an_unfinished_backup_is_tried_again(self, aws, plan):
        aws.create(plan)
        aws.errors["dynamodb:DeleteBackup"] = "BackupInUseException"

        with pytest.raises(ResourceBusyError):
            aws.roll_back(plan)

    def test_refused(self, aws, plan):
        aws.create(plan)
        aws.errors["dynamodb:DeleteBackup"] = "LimitExceededException"

        with pytest.raises(RollbackFailedError):
            aws.roll_back(plan)

    def test_an_undo_that_deleted_it_cannot_be_taken_back(self, aws, plan):
        aws.create(plan)
        aws.roll_back(plan)

        with pytest.raises(RollbackFailedError):
            aws.roll_back(inverse(plan))

        assert aws.names() == []


class TestDeclaredCalls:
    """`calls` is what the roles are made of: no more and no less than what is really called."""

    def declared(self, name: str) -> list[str]:
        return sorted(steps_of(steps)[name].calls)

    def made(self, aws: Aws, act: Callable[[], object]) -> list[str]:
        aws.calls.clear()
        act()
        return sorted(set(aws.calls))

    def test_prepare(self, aws, run):
        assert self.made(aws, lambda: aws.prepare(run)) == self.declared("prepare")

    def test_create_backup(self, aws, plan):
        assert self.made(aws, lambda: aws.create(plan)) == self.declared("create_backup")

    def test_check_backup(self, aws, plan):
        aws.create(plan)

        assert self.made(aws, lambda: aws.check(plan)) == self.declared("check_backup")

    def test_prune_backups(self, aws, expired):
        change = aws.create(expired.plan)

        made = self.made(aws, lambda: aws.prune(expired.plan, change))

        assert made == self.declared("prune_backups")

    def test_verify(self, aws, run, expired):
        aws.create(expired.plan)

        assert self.made(aws, lambda: aws.verify(run, expired.plan)) == self.declared("verify")

    def test_watch_hold(self, aws, plan):
        aws.create(plan)

        assert self.made(aws, lambda: aws.hold(plan)) == self.declared("watch_hold")

    def test_check_undo(self, aws, undo, plan):
        aws.create(plan)

        made = self.made(aws, lambda: aws.check_undo(undo, inverse(plan)))

        assert made == self.declared("check_undo")

    def test_roll_back(self, aws, plan):
        aws.create(plan)

        assert self.made(aws, lambda: aws.roll_back(plan)) == self.declared("roll_back")

    def test_every_step_is_covered_here(self):
        covered = {n.removeprefix("test_") for n in dir(self) if n.startswith("test_")}

        assert set(steps_of(steps)) == covered - {"every_step_is_covered_here"}


def test_planned_calls_have_a_resource(expired):
    apis = {api for resource in steps.RESOURCES for api in resource.apis}

    assert apis == {"dynamodb:CreateBackup", "dynamodb:DeleteBackup"}
    assert {call.api for call in expired.plan.calls} == apis

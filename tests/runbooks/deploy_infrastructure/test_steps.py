"""Steps of deploy_infrastructure: what they read, in which order they change, what they raise."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lambdas.remediation import settings
from lambdas.remediation.contracts import (
    Change,
    Execution,
    Kind,
    Mode,
    Plan,
    PlannedCall,
    Run,
    Trigger,
    Verdict,
    canonical_json,
)
from lambdas.remediation.errors import (
    ChangeFailedError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
)
from lambdas.remediation.platform import CloudFormationStack, Function, Platform, Table
from lambdas.remediation.resources.dynamodb_backup import Backup, BackupSource
from lambdas.remediation.resources.lambda_alias import Invocation
from lambdas.remediation.resources.stack_deployments import (
    ChangeSet,
    ResourceChange,
    StackRelease,
    StackState,
)
from lambdas.remediation.resources.stack_events import StackOperation
from lambdas.remediation.step import Attempt, Clock
from lambdas.runbooks.deploy_infrastructure import steps

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/app/1-2-3"
SET_ARN = "arn:aws:cloudformation:us-east-1:123456789012:changeSet/release-2/4-5-6"
OLD, NEW = StackRelease(template="old"), StackRelease(template="new")
PLATFORM = Platform(
    name="test",
    stacks=(CloudFormationStack(stack_name="app", template_bucket="templates"),),
    tables=(Table(table_name="orders"),),
    functions=(
        Function(function_name="chat", alias="live", smoke_event={"smoke": True}),
        Function(function_name="elsewhere", alias="live", smoke_event={"smoke": True}),
    ),
)
MARK = "remediation-1"
CALL = PlannedCall(
    api="cloudformation:ExecuteChangeSet",
    resource=ID,
    arguments={"ChangeSetName": SET_ARN, "ClientRequestToken": MARK},
    before={"Release": OLD.digest},
    after={"Release": NEW.digest},
)
EARLY, LAST = Attempt(number=1, final=False), Attempt(number=60, final=True)
RUN = Run(
    id="deploy-infrastructure:one",
    runbook="deploy_infrastructure",
    kind=Kind.CHANGE,
    mode=Mode.PROPOSE,
    trigger=Trigger.PERSON,
    target={"stack_name": "app"},
    target_arn="arn:aws:cloudformation:us-east-1:123456789012:stack/app",
    parameters={"change_set_name": "release-2"},
    reason="",
    requested_by="person",
    execution=Execution(
        arn="arn:aws:states:us-east-1:123456789012:execution:remediation-deploy-infrastructure:one",
        name="one",
        started_at=NOON,
    ),
    lease_until=NOON + timedelta(hours=6),
    limits={"verify_window_seconds": 1_800},
)


class FixedClock(Clock):
    def __init__(self, minutes: float = 0) -> None:
        self.minutes = minutes

    def now(self) -> datetime:
        return NOON + timedelta(minutes=self.minutes)


class World:
    """The stack, its events, alarms and functions; each fake resource reads and changes this."""

    apis = (
        "cloudformation:CreateChangeSet",
        "cloudformation:ExecuteChangeSet",
        "s3:PutObject",
        "dynamodb:CreateBackup",
    )

    def __init__(self) -> None:
        self.status = "UPDATE_COMPLETE"
        self.deployed = OLD
        self.set_status, self.made_status, self.replacement = (
            "AVAILABLE",
            "CREATE_COMPLETE",
            "False",
        )
        self.to_deploy = NEW
        self.in_bucket: dict[str, str] = {}
        self.marks: tuple[str, ...] = ()
        self.kept: StackRelease | None = OLD
        self.red_alarms: list[str] = []
        self.smoke: dict[str, Any] = {"chat": Invocation(status_code=200)}
        self.done: list[str] = []
        self.backup_status = "AVAILABLE"

    # --- stacks ---

    def state(self, name: str) -> StackState:
        if self.status == "GONE":
            raise TargetNotFoundError("stack app: not found")
        return StackState(
            stack_id=ID, stack_name="app", status=self.status, role_arn="arn:role/exec"
        )

    def release(self, stack: StackState) -> StackRelease:
        return self.deployed

    def change_set(self, stack: StackState, name: str) -> ChangeSet:
        change = ResourceChange(
            action="Modify",
            logical_id="Orders",
            resource_type="AWS::DynamoDB::Table",
            physical_id="orders",
            replacement=self.replacement,
        )
        return ChangeSet(
            arn=SET_ARN,
            name=name,
            status=self.made_status,
            status_reason="The submitted information didn't contain changes.",
            execution_status=self.set_status,
            changes=(change,),
        )

    def release_of(self, stack: StackState, change_set: ChangeSet) -> StackRelease:
        return self.to_deploy

    def submitted(self, bucket: str, template_key: str) -> str:
        return self.in_bucket[f"{bucket}/{template_key}"]

    def delete(self, stack: StackState, change_set: ChangeSet) -> None:
        self.done.append(f"delete {change_set.name}")

    def recorded(self, stack_name: str, digest: str) -> StackRelease | None:
        return self.kept

    def physical_ids(self, stack_name: str) -> dict[str, str]:
        return {"Orders": "orders", "Chat": "chat"}

    def present(self, call: PlannedCall) -> dict[str, Any]:
        if call.api != "cloudformation:ExecuteChangeSet":
            return call.before
        if self.state("app").running:
            raise ResourceBusyError("stack app is at it")
        return {"Release": self.deployed.digest if self.status != "UPDATE_FAILED" else self.status}

    def apply(self, call: PlannedCall) -> None:
        self.done.append(call.api.partition(":")[2])
        self.applied = call
        if call.api == "cloudformation:ExecuteChangeSet":
            self.deployed = NEW if call.after["Release"] == NEW.digest else OLD

    def settle(self, call: PlannedCall) -> None:
        self.done.append("settle")

    # --- events, alarms, functions, backups, runs ---

    def request_ids(self, stack_name: str) -> tuple[str, ...]:
        return self.marks

    def failures(self, stack_name: str, request_id: str) -> tuple[str, ...]:
        return ("Queue (AWS::SQS::Queue): not allowed",) if request_id == MARK else ()

    def last_operation(self, stack_name: str) -> StackOperation:
        return StackOperation(stack_name="app", status=self.status, at=NOON)

    def red(self, names: list[str]) -> list[dict[str, Any]]:
        return [{"AlarmName": name} for name in names if name in self.red_alarms]

    def invoke(self, name: str, alias: str, event: dict[str, Any]) -> Invocation:
        found = self.smoke[name]
        if isinstance(found, Exception):
            raise found
        return found

    def source(self, table_name: str) -> BackupSource:
        return BackupSource(
            table_name="orders",
            table_arn="arn:aws:dynamodb:us-east-1:123456789012:table/orders",
            table_id="t-1",
            status="ACTIVE",
        )

    def made_by(self, call: PlannedCall) -> tuple[Backup, ...]:
        name = call.after["BackupName"]
        return (
            Backup(backup_arn="a", backup_name=name, status=self.backup_status, created_at=NOON),
        )

    def read(self) -> tuple[Any, ...]:
        return ()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    known = settings.Settings(
        prefix="remediation",
        run_table_name="runs",
        operator_topic_arn="",
        chat_topic_arn="",
        machine_timeout_seconds=1,
    )
    monkeypatch.setattr(steps, "settings", lambda: known)
    return World()


def prepared(world: World, run: Run = RUN) -> Plan:
    return steps.prepare(
        run=run,
        platform=PLATFORM,
        stacks=world,
        backups=world,
        alarms=world,
        runs=world,
    ).plan


def planned(**evidence: Any) -> Plan:
    return Plan(decision="change", reason="", calls=[CALL], evidence={"red_before": [], **evidence})


class TestPrepare:
    def test_plans_record_backup_and_deployment(self, world):
        plan = prepared(world, dataclasses.replace(RUN, mode=Mode.ACT))

        assert [c.api for c in plan.calls] == [
            "dynamodb:CreateBackup",
            "cloudformation:ExecuteChangeSet",
        ]
        assert plan.calls[0].after == {
            "BackupName": "remediation-orders-20260302T120000Z-8e05a839ada3"
        }
        assert world.done == []

    def test_keeps_what_is_not_kept_yet(self, world):
        world.kept = None

        assert prepared(world).calls[0].api == "s3:PutObject"

    def test_remembers_what_is_red_already(self, world):
        world.red_alarms = ["remediation-chat-errors"]

        assert prepared(world).evidence["red_before"] == ["remediation-chat-errors"]

    def test_two_runs_have_two_marks(self, world):
        other = dataclasses.replace(RUN, id="deploy-infrastructure:two")
        marks = {
            plan.calls[-1].arguments["ClientRequestToken"]
            for plan in (prepared(world), prepared(world, other))
        }

        assert len(marks) == 2

    def test_needs_a_change_set(self, world):
        world.set_status = "OBSOLETE"

        with pytest.raises(PrerequisiteNotMetError):
            prepared(world)


TABLE = {"Type": "AWS::DynamoDB::Table"}
TEMPLATED = dataclasses.replace(RUN, parameters={"template_key": "templates/app/7.json"})


class TestFromATemplate:
    """What the two templates say differently is planned; a change set that does more stays."""

    @pytest.fixture(autouse=True)
    def _templates(self, world):
        asked = {"Resources": {"Orders": {**TABLE, "Properties": {"Tags": []}}}}
        world.deployed = StackRelease(template=canonical_json({"Resources": {"Orders": TABLE}}))
        world.kept = world.deployed
        world.in_bucket["templates/templates/app/7.json"] = canonical_json(asked)
        world.to_deploy = StackRelease(template=canonical_json(asked))

    def make(self, world: World, plan: Plan | None = None) -> Change:
        return steps.make_change_set(
            run=TEMPLATED, plan=plan or prepared(world, TEMPLATED), clock=FixedClock(), stacks=world
        )

    def execute(self, world: World) -> Change:
        return steps.execute_change_set(
            run=TEMPLATED,
            plan=prepared(world, TEMPLATED),
            clock=FixedClock(),
            stacks=world,
            events=world,
        )

    def test_plans_backup_change_set_and_deployment_and_changes_nothing(self, world):
        plan = prepared(world, TEMPLATED)

        assert [c.api for c in plan.calls] == [
            "dynamodb:CreateBackup",
            "cloudformation:CreateChangeSet",
            "cloudformation:ExecuteChangeSet",
        ]
        assert plan.evidence["changes"] == ["Modify Orders (AWS::DynamoDB::Table)"]
        assert plan.calls[2].after == {"Release": world.to_deploy.digest}
        assert world.done == []

    def test_what_was_planned_is_made_and_executed_by_its_arn(self, world):
        self.make(world)
        self.execute(world)

        assert world.done == ["CreateChangeSet", "ExecuteChangeSet"]
        assert world.applied.arguments["ChangeSetName"] == SET_ARN

    def test_a_prepared_change_set_is_not_made(self, world):
        self.make(world, planned())

        assert world.done == []

    def test_a_replacement_that_nobody_saw_stays_to_be_reviewed(self, world):
        world.replacement = "True"

        with pytest.raises(ChangeFailedError) as caught:
            self.make(world)

        told = str(caught.value)
        assert "Modify Orders (AWS::DynamoDB::Table, replacement: True)" in told
        assert "stateMachine:remediation-deploy-infrastructure" in told
        assert '"change_set_name": "remediation-' in told
        assert '"mode": "propose"' in told
        assert "template_key" not in told
        assert world.done == ["CreateChangeSet"]

    def test_one_that_came_after_the_look_is_not_executed(self, world):
        self.make(world)
        world.replacement = "Conditional"

        with pytest.raises(ChangeFailedError, match="replacement: Conditional"):
            self.execute(world)
        assert world.done == ["CreateChangeSet"]

    def test_a_template_that_was_exchanged_is_not_deployed(self, world):
        plan = prepared(world, TEMPLATED)
        world.to_deploy = NEW

        with pytest.raises(PrerequisiteNotMetError, match="was exchanged since"):
            self.make(world, plan)
        assert [d.partition("-")[0] for d in world.done] == [
            "CreateChangeSet",
            "delete remediation",
        ]

    def test_one_without_changes_is_deleted(self, world):
        world.made_status = "FAILED"

        with pytest.raises(PrerequisiteNotMetError, match="nothing to do"):
            self.make(world)
        assert [d.partition("-")[0] for d in world.done] == [
            "CreateChangeSet",
            "delete remediation",
        ]

    def test_one_that_is_being_made_is_waited_for(self, world):
        world.made_status = "CREATE_IN_PROGRESS"

        with pytest.raises(ResourceBusyError):
            self.make(world)

    def test_one_that_is_gone_is_not_executed(self, world):
        world.set_status = "OBSOLETE"

        with pytest.raises(ChangeFailedError, match="cannot be executed any more"):
            self.execute(world)
        assert world.done == []


class TestBackups:
    def test_go_before_the_deployment(self, world):
        world.kept = None
        steps.record_release(plan=prepared(world), clock=FixedClock(), stacks=world, backups=world)

        assert world.done == ["PutObject", "CreateBackup"]

    def test_are_waited_for(self, world):
        world.backup_status = "CREATING"
        plan = prepared(world)

        found = steps.check_backups(plan=plan, attempt=EARLY, backups=world)

        assert found.verdict is Verdict.PENDING
        with pytest.raises(ChangeFailedError, match="nothing was deployed"):
            steps.check_backups(plan=plan, attempt=LAST, backups=world)


class TestExecute:
    def execute(self, world: World) -> Change:
        return steps.execute_change_set(
            run=RUN, plan=planned(), clock=FixedClock(), stacks=world, events=world
        )

    def test_once(self, world):
        assert self.execute(world).calls[0].already_applied is False
        assert world.done == ["ExecuteChangeSet"]

    @pytest.mark.parametrize("known_by", ["marks", "set_status"])
    def test_not_again_after_an_answer_that_was_lost(self, world, known_by):
        world.status = "UPDATE_IN_PROGRESS"
        setattr(world, known_by, (MARK,) if known_by == "marks" else "EXECUTE_IN_PROGRESS")

        assert self.execute(world).calls[0].already_applied is True
        assert world.done == []


class TestCheckStack:
    def check(self, world: World, attempt: Attempt = EARLY):
        return steps.check_stack(plan=planned(), attempt=attempt, stacks=world, events=world)

    def test_deployed(self, world):
        world.marks, world.deployed = (MARK,), NEW

        assert self.check(world).verdict is Verdict.PASSED

    def test_failed_with_its_causes(self, world):
        world.marks, world.status = (MARK,), "UPDATE_ROLLBACK_COMPLETE"

        with pytest.raises(ChangeFailedError) as caught:
            self.check(world)

        assert str(caught.value) == (
            "the stack is UPDATE_ROLLBACK_COMPLETE: Queue (AWS::SQS::Queue): not allowed"
        )

    def test_not_finished_in_time(self, world):
        world.marks, world.status = (MARK,), "UPDATE_IN_PROGRESS"

        assert self.check(world).verdict is Verdict.PENDING
        with pytest.raises(ChangeFailedError, match="not finished in time"):
            self.check(world, LAST)


class TestVerify:
    def verify(self, world: World, *, minutes: float = 30, attempt: Attempt = EARLY, **more: Any):
        return steps.verify(
            run=dataclasses.replace(RUN, **more),
            plan=planned(red_before=["remediation-orders-throttled"]),
            attempt=attempt,
            clock=FixedClock(minutes),
            platform=PLATFORM,
            stacks=world,
            events=world,
            alarms=world,
            aliases=world,
        )

    @pytest.fixture(autouse=True)
    def _deployed(self, world):
        world.deployed = NEW

    def test_passes_after_half_an_hour_and_asks_the_stacks_functions_only(self, world):
        """`elsewhere` is not of this stack: asking it would raise."""
        assert self.verify(world).verdict is Verdict.PASSED

    def test_not_earlier(self, world):
        assert self.verify(world, minutes=29).verdict is Verdict.PENDING

    def test_an_alarm_that_was_red_before_does_not_count(self, world):
        world.red_alarms = ["remediation-orders-throttled"]

        assert self.verify(world).verdict is Verdict.PASSED

    def test_one_that_turned_red_does(self, world):
        world.red_alarms = ["remediation-chat-errors"]

        assert self.verify(world, minutes=1).verdict is Verdict.FAILED

    @pytest.mark.parametrize(
        "answer",
        [Invocation(status_code=200, function_error="Unhandled"), TargetNotFoundError("gone")],
        ids=["error", "no alias"],
    )
    def test_a_function_that_does_not_answer(self, world, answer):
        world.smoke["chat"] = answer

        found = self.verify(world)

        assert (found.verdict, found.reason) == (Verdict.FAILED, "fails its smoke event: chat")

    def test_someone_elses_deployment_is_not_judged(self, world):
        world.deployed = StackRelease(template="another")

        assert self.verify(world).verdict is Verdict.INCONCLUSIVE

    @pytest.mark.parametrize(
        ("attempt", "verdict"), [(EARLY, Verdict.PENDING), (LAST, Verdict.INCONCLUSIVE)]
    )
    def test_while_someone_else_deploys(self, world, attempt, verdict):
        world.status = "UPDATE_IN_PROGRESS"

        assert self.verify(world, attempt=attempt).verdict is verdict

    def test_an_undo_is_there_or_not(self, world):
        """The plan of an undo run wants what was there before; here, the same call serves."""
        assert self.verify(world, kind=Kind.UNDO, minutes=0).verdict is Verdict.PASSED
        world.deployed = OLD
        assert self.verify(world, kind=Kind.UNDO, minutes=0).verdict is Verdict.PENDING


class TestCheckUndo:
    def test_a_way_that_is_there(self, world):
        steps.check_undo(plan=planned(), stacks=world)

    def test_not_over_a_deployment_that_failed(self, world):
        world.status = "UPDATE_ROLLBACK_COMPLETE"

        with pytest.raises(PrerequisiteNotMetError, match="has failed since"):
            steps.check_undo(plan=planned(), stacks=world)

    def test_not_without_the_template(self, world):
        world.kept = None

        with pytest.raises(PrerequisiteNotMetError, match="no longer in the template bucket"):
            steps.check_undo(plan=planned(), stacks=world)


class TestRollBack:
    def roll_back(self, world: World, call: PlannedCall = CALL) -> Change:
        plan = dataclasses.replace(planned(), calls=[call])
        return steps.roll_back(plan=plan, clock=FixedClock(), stacks=world, events=world)

    def test_deploys_what_was_there_before(self, world):
        world.marks, world.deployed = (MARK,), NEW

        assert len(self.roll_back(world).calls) == 1
        assert (world.done, world.deployed) == (["settle", "ExecuteChangeSet"], OLD)

    def test_nothing_where_cloudformation_went_back_by_itself(self, world):
        world.marks, world.status = (MARK,), "UPDATE_ROLLBACK_COMPLETE"

        assert self.roll_back(world).calls == []
        assert world.done == ["settle"]

    def test_nothing_where_nothing_was_executed_whatever_others_do(self, world):
        world.status = "UPDATE_IN_PROGRESS"

        assert self.roll_back(world).calls == []
        assert world.done == []

    def test_never_ends_someone_elses_deployment(self, world):
        world.marks, world.status = ("someone-else", MARK), "UPDATE_IN_PROGRESS"

        with pytest.raises(ResourceBusyError):
            self.roll_back(world)
        assert world.done == []

    def test_ends_what_its_own_steps_back_have_begun(self, world):
        world.marks, world.status = (f"{MARK}-cancel", MARK), "UPDATE_ROLLBACK_COMPLETE"

        self.roll_back(world)

        assert world.done == ["settle"]

    def test_of_an_undo_leaves_the_stack_where_it_is(self, world):
        """The way back was not deployed: nothing is to be taken back."""
        world.deployed = NEW

        assert self.roll_back(world, CALL.inverse()).calls == []
        assert world.done == []

    def test_of_a_stack_that_is_gone(self, world):
        world.marks, world.status = (MARK,), "GONE"

        with pytest.raises(RollbackFailedError):
            self.roll_back(world)

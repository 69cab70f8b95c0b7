"""Decisions of deploy_infrastructure: what is executed, what is refused, what takes it back."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from lambdas.remediation.contracts import Mode, Plan, Verdict, canonical_json, decode, encode
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.platform import Api, CloudFormationStack, Platform, Table
from lambdas.remediation.resources.dynamodb_backup import Backup, BackupSource
from lambdas.remediation.resources.stack_deployments import (
    ChangeSet,
    ResourceChange,
    StackRelease,
    StackState,
    creation,
    deployment,
)
from lambdas.remediation.standing_runs import StandingRun
from lambdas.runbooks.deploy_infrastructure import policy
from lambdas.runbooks.deploy_infrastructure.policy import Situation, Watch

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/app/1-2-3"
SET_ARN = "arn:aws:cloudformation:us-east-1:123456789012:changeSet/release-2/4-5-6"
TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
BEFORE, AFTER = "a" * 64, "b" * 64
PLATFORM = Platform(
    name="test",
    tables=(Table(table_name="orders"),),
    apis=(Api(api_name="shop", api_id="e1n2", stage="prod"),),
)
CONFIGURED = CloudFormationStack(stack_name="app", template_bucket="templates")
STACK = StackState(
    stack_id=ID, stack_name="app", status="UPDATE_COMPLETE", role_arn="arn:aws:iam::1:role/exec"
)
QUEUE = ResourceChange(
    action="Modify", logical_id="Queue", resource_type="AWS::SQS::Queue", physical_id="q"
)
TABLE = ResourceChange(
    action="Modify",
    logical_id="Orders",
    resource_type="AWS::DynamoDB::Table",
    physical_id="orders",
)
REMOVED = dataclasses.replace(TABLE, action="Remove")
SOURCE = BackupSource(table_name="orders", table_arn=TABLE_ARN, table_id="t-1", status="ACTIVE")
RAISED = StandingRun(
    run_id="dynamodb-throttling:one",
    runbook="dynamodb_throttling",
    target={"table_name": "orders"},
    undo="aws stepfunctions ...",
)


def change_set(*changes: ResourceChange, **more) -> ChangeSet:
    values = {"arn": SET_ARN, "name": "release-2", "status": "CREATE_COMPLETE", **more}
    return ChangeSet(changes=changes, **values)


def situation(*changes: ResourceChange, **more) -> Situation:
    values = {
        "stack": STACK,
        "change_set": change_set(*changes),
        "before": BEFORE,
        "after": AFTER,
        "bucket": "templates",
        "recorded": False,
        "request_id": "remediation-1",
        "mode": Mode.PROPOSE,
        **more,
    }
    return Situation(**values)


def refusal(function, *given, **named) -> str:
    with pytest.raises(PrerequisiteNotMetError) as caught:
        function(*given, **named)
    return str(caught.value)


class TestRequiredName:
    def test_a_name(self):
        assert policy.required_name("release-2") == "release-2"

    def test_what_is_missing_is_said_to_be(self):
        with pytest.raises(InvalidRequestError) as caught:
            policy.required_name(None)

        assert str(caught.value) == (
            "parameters.change_set_name: missing; the name of the change set to execute, which "
            "`cdk deploy --method=prepare-change-set --change-set-name <name>` prepares; or give "
            "parameters.template_key"
        )

    @pytest.mark.parametrize("given", ["", "2-release", "a b", "a" * 129, SET_ARN])
    def test_what_is_none(self, given):
        with pytest.raises(InvalidRequestError) as caught:
            policy.required_name(given)

        assert str(caught.value).startswith(f"parameters.change_set_name: {given!r} is no name")
        assert "--method=prepare-change-set" in str(caught.value)
        assert "or give parameters.template_key" in str(caught.value)


class TestTemplateKey:
    def test_none_where_a_change_set_is_named(self):
        assert policy.template_key({"change_set_name": "release-2"}, "app") is None

    def test_one_of_the_stacks_templates(self):
        assert policy.template_key({"template_key": "templates/app/7.json"}, "app") == (
            "templates/app/7.json"
        )

    @pytest.mark.parametrize(
        "key",
        [
            "7.json",
            "templates/other/7.json",
            "templates/app/",
            "remediation/app/1/template",
            "templates/app/7.json?versionId=1",
        ],
    )
    def test_no_other_object(self, key):
        with pytest.raises(InvalidRequestError) as caught:
            policy.template_key({"template_key": key}, "app")

        assert "does not begin with templates/app/" in str(caught.value)

    def test_not_both(self):
        given = {"template_key": "templates/app/7.json", "change_set_name": "release-2"}

        with pytest.raises(InvalidRequestError, match="give change_set_name or template_key"):
            policy.template_key(given, "app")


class TestForeseen:
    def between(self, before: dict, after: dict) -> ChangeSet:
        deployed, asked = (
            StackRelease(template=canonical_json({"Resources": r})) for r in (before, after)
        )
        return policy.foreseen("made-1", deployed, asked, {"Orders": "orders", "Queue": "q"})

    def test_names_what_the_templates_say_differently(self):
        queue = {"Type": "AWS::SQS::Queue"}
        found = self.between(
            {"Same": queue, "Queue": queue, "Orders": {"Type": "AWS::DynamoDB::Table"}},
            {"Same": queue, "Queue": {**queue, "Properties": {}}, "Topic": {"Type": "A::B::C"}},
        )

        assert [c.summary for c in found.changes] == [
            "Remove Orders (AWS::DynamoDB::Table)",
            "Modify Queue (AWS::SQS::Queue)",
            "Add Topic (A::B::C)",
        ]
        assert [c.physical_id for c in found.changes] == ["orders", "q", ""]

    def test_the_removal_of_a_table_takes_data_away(self):
        table = {"Type": "AWS::DynamoDB::Table"}
        lost = self.between({"Orders": table}, {})
        kept = self.between({"Orders": {**table, "DeletionPolicy": "Retain"}}, {})

        assert [c.takes_state_away for c in (*lost.changes, *kept.changes)] == [True, True]
        assert [c.loses_data for c in (*lost.changes, *kept.changes)] == [True, False]

    def test_what_a_condition_kept_from_being_made_can_only_come(self):
        cache = {"Type": "AWS::DynamoDB::Table", "Condition": "IsProduction"}
        changed = {**cache, "Properties": {}}

        assert [c.summary for c in self.between({"Cache": cache}, {"Cache": changed}).changes] == [
            "Add Cache (AWS::DynamoDB::Table)"
        ]
        assert self.between({"Cache": cache}, {}).changes == ()

    def test_a_template_that_cannot_be_compared_is_refused(self):
        yaml, json_ = StackRelease(template="Resources: {}"), StackRelease(template="{}")

        assert "is not JSON" in refusal(policy.foreseen, "made-1", json_, yaml, {})


class TestMadeAfterTheYes:
    """What is made after the yes is executed only if the plan has told all of it."""

    SEEN = change_set(QUEUE)
    PLAN = Plan(
        decision="change",
        reason="",
        calls=[
            creation(STACK, SEEN, bucket="templates", template_key="templates/app/7.json"),
            deployment(STACK, SEEN, before=BEFORE, after=AFTER, request_id="remediation-1"),
        ],
    )

    def unseen(self, *found: ResourceChange) -> str | None:
        return policy.unseen(self.PLAN, change_set(*found), review="start it so")

    def test_what_was_told_is_executed(self):
        assert self.unseen(QUEUE) is None

    def test_so_is_less(self):
        assert self.unseen() is None

    @pytest.mark.parametrize(
        ("found", "told"),
        [
            (TABLE, "Modify Orders (AWS::DynamoDB::Table)"),
            (
                dataclasses.replace(QUEUE, replacement="True"),
                "Modify Queue (AWS::SQS::Queue, replacement: True)",
            ),
            (
                dataclasses.replace(QUEUE, replacement="Conditional"),
                "Modify Queue (AWS::SQS::Queue, replacement: Conditional)",
            ),
            (dataclasses.replace(QUEUE, action="Remove"), "Remove Queue (AWS::SQS::Queue)"),
        ],
        ids=["resource", "replacement", "perhaps", "removal"],
    )
    def test_what_nobody_has_seen_is_not(self, found, told):
        assert self.unseen(QUEUE, found) == (
            "change set release-2 is made but not executed, for it would do what the templates do "
            f"not tell: {told}. To have that reviewed: start it so"
        )

    def test_another_template_is_not(self):
        assert policy.exchanged(self.PLAN, self.SEEN, AFTER) is None
        assert "would not deploy the planned template" in (
            policy.exchanged(self.PLAN, self.SEEN, "c" * 64) or ""
        )

    def test_a_change_set_without_changes_is_useless(self):
        reason = "The submitted information didn't contain changes."
        empty = change_set(status="FAILED", status_reason=reason)

        assert policy.useless(change_set(QUEUE)) is None
        assert policy.useless(empty) == f"nothing to do: change set release-2 FAILED: {reason}"


class TestRequireReady:
    def test_the_bucket_of_a_stack_that_can_be_deployed(self):
        assert policy.require_ready(STACK, CONFIGURED) == "templates"

    def test_a_role_of_the_platform_file_will_do(self):
        stack = dataclasses.replace(STACK, role_arn=None)
        configured = dataclasses.replace(CONFIGURED, execution_role="exec")

        assert policy.require_ready(stack, configured) == "templates"

    @pytest.mark.parametrize(
        ("status", "fix"),
        [
            ("UPDATE_IN_PROGRESS", "wait for its end"),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "wait for its end"),
            ("UPDATE_ROLLBACK_FAILED", "aws cloudformation rollback-stack --stack-name app"),
        ],
    )
    def test_not_over_another_deployment(self, status, fix):
        stack = dataclasses.replace(STACK, status=status)

        message = refusal(policy.require_ready, stack, CONFIGURED)

        assert message.startswith(f"stack app is {status}: ")
        assert message.endswith(fix)

    def test_not_without_a_way_back(self):
        message = refusal(policy.require_ready, STACK, CloudFormationStack(stack_name="app"))

        assert "set stacks[].template_bucket" in message

    def test_not_with_the_rights_of_our_own_function(self):
        stack = dataclasses.replace(STACK, role_arn=None)

        assert "set stacks[].execution_role" in refusal(policy.require_ready, stack, CONFIGURED)


class TestRequireExecutable:
    @pytest.mark.parametrize(
        ("found", "message"),
        [
            (None, "stack app has no change set release-2; prepare it with: cdk deploy app "),
            (
                change_set(status="CREATE_IN_PROGRESS"),
                "change set release-2 is CREATE_IN_PROGRESS: wait for its end",
            ),
            (
                change_set(status="FAILED", status_reason="it didn't contain changes"),
                "nothing to do: change set release-2 FAILED: it didn't contain changes",
            ),
            (
                change_set(status="FAILED", status_reason="Unresolved resource X"),
                "change set release-2 FAILED: Unresolved resource X",
            ),
            (
                change_set(execution_status="OBSOLETE"),
                "change set release-2 is OBSOLETE, so it cannot be executed; prepare another one",
            ),
        ],
        ids=["absent", "unfinished", "no changes", "failed", "obsolete"],
    )
    def test_what_cannot_be_executed(self, found, message):
        assert refusal(policy.require_executable, STACK, "release-2", found).startswith(message)

    def test_what_can(self):
        found = change_set(QUEUE)

        assert policy.require_executable(STACK, "release-2", found) is found


class TestTouchedTables:
    def test_those_modified_or_removed(self):
        added = dataclasses.replace(TABLE, action="Add", physical_id="")

        assert policy.touched_tables(change_set(QUEUE, TABLE, added), PLATFORM) == ("orders",)

    def test_one_that_cannot_be_backed_up(self):
        other = dataclasses.replace(TABLE, physical_id="carts")

        message = refusal(policy.touched_tables, change_set(other), PLATFORM)

        assert "touches table carts, which is not in platform.json" in message


class TestUndoneBy:
    def touched(self, physical_id: str, target: dict[str, str], runbook: str = "other") -> bool:
        run = StandingRun(run_id="x", runbook=runbook, target=target)
        change = dataclasses.replace(QUEUE, physical_id=physical_id)
        found = policy.undone_by(change_set(change), [run], PLATFORM, own="deploy_infrastructure")
        return found == (run,)

    @pytest.mark.parametrize(
        ("physical_id", "target"),
        [
            ("orders", {"table_name": "orders"}),
            (
                "table/orders|dynamodb:table:WriteCapacityUnits|dynamodb",
                {"table_name": "orders"},
            ),
            (
                "arn:aws:lambda:us-east-1:123456789012:function:chat:live",
                {"function_name": "chat"},
            ),
            ("e1n2", {"api_name": "shop"}),
            ("prod", {"api_name": "shop"}),
        ],
    )
    def test_touches_what_the_run_has_changed(self, physical_id, target):
        assert self.touched(physical_id, target)

    @pytest.mark.parametrize(
        ("physical_id", "target"),
        [
            ("orders-archive", {"table_name": "orders"}),
            ("", {"table_name": "orders"}),
            ("prod", {"api_name": "another"}),
        ],
    )
    def test_leaves_it_alone(self, physical_id, target):
        assert not self.touched(physical_id, target)

    def test_an_earlier_deployment_is_not_undone(self):
        assert not self.touched("app", {"stack_name": "app"}, "deploy_infrastructure")


class TestDecide:
    def test_keeps_backs_up_and_deploys(self):
        plan = policy.decide(situation(QUEUE, TABLE, backups={"backup-1": SOURCE}))

        assert [(c.api, c.resource, c.before, c.after, c.reversible) for c in plan.calls] == [
            (
                "s3:PutObject",
                f"arn:aws:s3:::templates/remediation/app/{BEFORE}",
                {"Release": None},
                {"Release": BEFORE},
                False,
            ),
            (
                "dynamodb:CreateBackup",
                TABLE_ARN,
                {"BackupName": None},
                {"BackupName": "backup-1"},
                False,
            ),
            (
                "cloudformation:ExecuteChangeSet",
                ID,
                {"Release": BEFORE},
                {"Release": AFTER},
                True,
            ),
        ]
        assert plan.calls[-1].arguments == {
            "StackName": "app",
            "ChangeSetName": SET_ARN,
            "DisableRollback": False,
            "ClientRequestToken": "remediation-1",
        }
        assert plan.reason == (
            "Deploy change set release-2 to stack app: Modify Queue (AWS::SQS::Queue); "
            "Modify Orders (AWS::DynamoDB::Table). First back up orders."
        )
        assert decode(Plan, encode(plan)) == plan

    def test_what_is_kept_already_is_not_kept_again(self):
        plan = policy.decide(situation(QUEUE, recorded=True))

        assert [c.api for c in plan.calls] == ["cloudformation:ExecuteChangeSet"]

    def test_a_long_list_is_cut_for_people_and_kept_in_the_evidence(self):
        plan = policy.decide(situation(*[QUEUE] * 12))

        assert plan.reason.endswith("; and 2 more.")
        assert len(plan.evidence["changes"]) == 12

    def test_tells_what_cloudformation_watches_itself(self):
        watched = change_set(QUEUE, triggers=2, monitoring_minutes=30)

        evidence = policy.decide(situation(change_set=watched, red=("old",))).evidence

        assert (evidence["rollback_triggers"], evidence["rollback_monitoring_minutes"]) == (2, 30)
        assert (evidence["red_before"], evidence["drift"]) == (["old"], "NOT_CHECKED")

    def test_nothing_to_do(self):
        message = refusal(policy.decide, situation(after=BEFORE))

        assert message == (
            "nothing to do: change set release-2 changes neither template nor parameters"
        )

    def test_a_table_that_cannot_be_backed_up_now(self):
        source = dataclasses.replace(SOURCE, status="DELETING")

        message = refusal(policy.decide, situation(TABLE, backups={"b": source}))

        assert message == "table orders is DELETING, so it cannot be backed up"


class TestFromATemplate:
    def test_the_change_set_is_made_before_it_is_executed(self):
        plan = policy.decide(situation(QUEUE, template_key="templates/app/7.json"))

        assert [c.api for c in plan.calls] == [
            "s3:PutObject",
            "cloudformation:CreateChangeSet",
            "cloudformation:ExecuteChangeSet",
        ]
        assert plan.calls[1].arguments == {
            "Bucket": "templates",
            "Key": "templates/app/7.json",
            "Foreseen": ["Modify Queue (AWS::SQS::Queue)"],
        }
        assert plan.reason == (
            "Deploy template templates/app/7.json, by change set release-2 if that does no more, "
            "to stack app: Modify Queue (AWS::SQS::Queue)."
        )

    def test_the_yes_is_about_what_was_told(self):
        one, two = (
            policy.decide(situation(change, template_key="templates/app/7.json"))
            for change in (QUEUE, dataclasses.replace(QUEUE, logical_id="Other"))
        )

        assert one.hash("deploy_infrastructure", ID) != two.hash("deploy_infrastructure", ID)

    def test_what_takes_data_away_is_refused_before_anything_is_made(self):
        told = refusal(policy.decide, situation(REMOVED, template_key="templates/app/7.json"))

        assert 'give parameters.accept_data_loss ["Orders"] and mode propose' in told


class TestDataLoss:
    def test_what_nobody_has_accepted_is_refused_by_name(self):
        replaced = ResourceChange(
            action="Modify",
            logical_id="Files",
            resource_type="AWS::S3::Bucket",
            replacement="Conditional",
        )

        message = refusal(
            policy.decide, situation(QUEUE, REMOVED, replaced, accept_data_loss=("Orders",))
        )

        assert message == (
            "change set release-2 may take away data: Modify Files (AWS::S3::Bucket, replacement: "
            'Conditional); if that is meant, give parameters.accept_data_loss ["Orders", "Files"] '
            "and mode propose"
        )

    @pytest.mark.parametrize("mode", [Mode.PROPOSE, Mode.OBSERVE])
    def test_what_was_accepted_is_planned(self, mode):
        plan = policy.decide(situation(REMOVED, accept_data_loss=("Orders",), mode=mode))

        assert plan.evidence["accepted_data_loss"] == ["Orders"]

    def test_never_without_a_yes(self):
        message = refusal(
            policy.decide, situation(REMOVED, accept_data_loss=("Orders",), mode=Mode.ACT)
        )

        assert message.endswith("so it needs a yes: start it with mode propose")


class TestOtherRuns:
    def test_a_change_that_stands_is_not_undone_unseen(self):
        message = refusal(policy.decide, situation(TABLE, undone=(RAISED,)))

        assert message == (
            "change set release-2 touches orders, which run dynamodb-throttling:one has changed "
            "beside the template. Take that back first: aws stepfunctions ...; or accept that it "
            'may be undone: parameters.accept_undoing ["dynamodb-throttling:one"]'
        )

    def test_an_accepted_one_is_named_to_whoever_approves(self):
        plan = policy.decide(
            situation(TABLE, undone=(RAISED,), accept_undoing=("dynamodb-throttling:one",))
        )

        assert plan.reason.endswith(
            "It may undo what these runs have changed: dynamodb-throttling:one."
        )

    def test_a_run_under_way_is_waited_for_whatever_was_accepted(self):
        busy = dataclasses.replace(RAISED, under_way=True, undo="")

        message = refusal(
            policy.decide,
            situation(TABLE, undone=(busy,), accept_undoing=("dynamodb-throttling:one",)),
        )

        assert message.endswith("wait for its end")


class TestJudgeBackups:
    PLAN = policy.decide(situation(TABLE, backups={"backup-1": SOURCE}))

    def judge(self, *statuses: str, final: bool = False):
        made = [
            Backup(backup_arn="arn", backup_name="backup-1", status=s, created_at=NOON)
            for s in statuses
        ]
        return policy.judge_backups(self.PLAN, made, final=final)

    def test_finished(self):
        assert self.judge("AVAILABLE").verdict is Verdict.PASSED

    @pytest.mark.parametrize("statuses", [(), ("CREATING",)])
    def test_unfinished(self, statuses):
        assert self.judge(*statuses).verdict is Verdict.PENDING
        last = self.judge(*statuses, final=True)
        assert (last.verdict, last.reason) == (Verdict.FAILED, "not AVAILABLE: backup-1")

    def test_none_needed(self):
        plan = policy.decide(situation(QUEUE))

        assert policy.judge_backups(plan, [], final=False).verdict is Verdict.PASSED


class TestJudgeStack:
    CALL = policy.deploy_call(policy.decide(situation(QUEUE)))

    @pytest.mark.parametrize(
        ("status", "release", "begun", "verdict", "last"),
        [
            ("UPDATE_COMPLETE", AFTER, True, Verdict.PASSED, Verdict.PASSED),
            ("UPDATE_IN_PROGRESS", None, True, Verdict.PENDING, Verdict.FAILED),
            ("UPDATE_ROLLBACK_IN_PROGRESS", None, True, Verdict.PENDING, Verdict.FAILED),
            ("UPDATE_ROLLBACK_COMPLETE", BEFORE, False, Verdict.PENDING, Verdict.FAILED),
            ("UPDATE_ROLLBACK_COMPLETE", BEFORE, True, Verdict.FAILED, Verdict.FAILED),
            ("UPDATE_FAILED", None, True, Verdict.FAILED, Verdict.FAILED),
        ],
    )
    def test_each_status(self, status, release, begun, verdict, last):
        first = policy.judge_stack(status, release, self.CALL, begun=begun, final=False)
        final = policy.judge_stack(status, release, self.CALL, begun=begun, final=True)

        assert (first.verdict, final.verdict) == (verdict, last)


class TestJudge:
    def judge(self, seconds: int, *, final: bool = False, **more):
        watch = Watch(
            **{
                "since": NOON,
                "now": NOON + timedelta(seconds=seconds),
                "red": (),
                "alarms": 3,
                "smoke": {"chat": True} if seconds >= 1_800 else None,
                **more,
            }
        )
        return policy.judge(watch, window_seconds=1_800, final=final)

    def test_passes_when_the_whole_watch_was_calm(self):
        found = self.judge(1_800)

        assert found.verdict is Verdict.PASSED
        assert found.reason == "deployed, and no alarm turned red in 1800 s"
        assert [(c.name, c.observed, c.passed) for c in found.checks] == [
            ("alarms newly red", 0, True),
            ("seconds watched", 1_800, True),
            ("functions that fail their smoke event", 0, True),
        ]

    def test_is_watched_to_the_end(self):
        assert self.judge(1_799).verdict is Verdict.PENDING

    def test_no_more_looks_before_the_end_is_no_pass(self):
        assert self.judge(1_799, final=True).verdict is Verdict.INCONCLUSIVE

    def test_one_red_alarm_is_enough_at_once(self):
        found = self.judge(20, red=("chat-errors",))

        assert found.verdict is Verdict.FAILED
        assert found.reason == "red since the deployment: chat-errors"

    def test_a_function_that_fails_its_smoke_event_is_enough(self):
        found = self.judge(1_800, smoke={"chat": False, "orders": True})

        assert found.verdict is Verdict.FAILED
        assert found.reason == "fails its smoke event: chat"


def test_undo_that_leaves_a_function_failing_is_shown_and_not_taken_back():
    judged = policy.judge_undo({"chat": False, "cart": True})

    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.reason == ("deployed from the recorded template, but chat fail their smoke event")


def test_undo_after_which_every_function_answers_has_passed():
    assert policy.judge_undo({"chat": True}).verdict is Verdict.PASSED

"""What restore_dynamodb_table decides, with plain values."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from lambdas.remediation.contracts import Decision, Mode, Plan, Verdict, Verification
from lambdas.remediation.errors import (
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
)
from lambdas.remediation.resources.dynamodb_backup import Backup
from lambdas.remediation.resources.restored_table import BackupContent, Recovery, TableState
from lambdas.remediation.resources.ssm_parameter import Parameter
from lambdas.runbooks.restore_dynamodb_table import policy
from lambdas.runbooks.restore_dynamodb_table.policy import Compared, Origin, Situation, Wanted

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TABLES = "arn:aws:dynamodb:us-east-1:123456789012:table"
NEW = "orders-restored-0123456789ab"
INDEXES = {"by-day": "day HASH: ALL"}
SOURCE = TableState(
    table_name="orders",
    table_arn=f"{TABLES}/orders",
    key_schema="id HASH",
    key_names=("id",),
    indexes=INDEXES,
    item_count=7,
)
COPY = dataclasses.replace(SOURCE, table_name=NEW, table_arn=f"{TABLES}/{NEW}")
ON = Recovery(period_days=7, earliest=NOON - timedelta(days=7), latest=NOON - timedelta(minutes=5))
POINTER = Parameter(name="/shop/orders", type="String", value="orders", version=3)


def backup(number: int, status: str = "AVAILABLE") -> Backup:
    return Backup(
        backup_arn=f"{TABLES}/orders/backup/{number}",
        backup_name=f"backup-{number}",
        status=status,
        created_at=NOON - timedelta(days=10 - number),
    )


FIRST, SECOND, UNFINISHED = backup(1), backup(2), backup(3, "CREATING")
CONTENT = BackupContent(key_schema="id HASH", indexes=INDEXES, item_count=5)
SITUATION = Situation(
    source=SOURCE,
    new_name=NEW,
    origin=Origin(backup=FIRST),
    recovery=Recovery(),
    content=CONTENT,
    tags={},
)


def decide(**changed) -> Plan:
    return policy.decide(dataclasses.replace(SITUATION, **changed))


class TestRequest:
    def test_backup_and_moment_exclude_each_other(self):
        asked = Wanted(backup_arn=FIRST.backup_arn, restore_time=NOON)

        with pytest.raises(InvalidRequestError) as error:
            policy.check_request(asked, Mode.PROPOSE, None)

        assert str(error.value) == (
            "parameters.restore_time: cannot stand beside backup_arn; leave one of them out"
        )

    def test_a_cut_over_needs_a_pointer(self):
        with pytest.raises(PrerequisiteNotMetError) as error:
            policy.check_request(Wanted(cut_over=True), Mode.PROPOSE, None)

        assert "no pointer_parameter in platform.json" in str(error.value)

    def test_a_cut_over_needs_a_yes(self):
        with pytest.raises(InvalidRequestError) as error:
            policy.check_request(Wanted(cut_over=True), Mode.ACT, "/shop/orders")

        assert 'start again with "mode": "propose"' in str(error.value)
        policy.check_request(Wanted(cut_over=True), Mode.PROPOSE, "/shop/orders")
        policy.check_request(Wanted(), Mode.ACT, None)


class TestSource:
    def test_a_table_that_is_gone_leaves_the_way_to_restore_it_by_hand(self):
        with pytest.raises(PrerequisiteNotMetError) as error:
            policy.check_source("orders", None, [FIRST, SECOND, UNFINISHED])

        assert str(error.value) == (
            "table orders does not exist, so its settings cannot be read; restore it under its own "
            "name by hand: aws dynamodb restore-table-from-backup --target-table-name orders "
            f"--backup-arn {SECOND.backup_arn}"
        )

    def test_a_table_that_is_gone_without_a_backup(self):
        with pytest.raises(PrerequisiteNotMetError) as error:
            policy.check_source("orders", None, [])

        assert str(error.value).endswith(", and it has no backup")

    def test_waits_for_a_table_that_is_being_created(self):
        with pytest.raises(ResourceBusyError):
            policy.check_source("orders", dataclasses.replace(SOURCE, status="CREATING"), [])

    def test_a_table_that_is_being_updated_can_be_restored(self):
        updating = dataclasses.replace(SOURCE, status="UPDATING")

        assert policy.check_source("orders", updating, []) is updating


class TestOrigin:
    def test_the_backup_that_is_named(self):
        asked = Wanted(backup_arn=FIRST.backup_arn)

        assert policy.origin(asked, [FIRST, SECOND], ON) == Origin(backup=FIRST)

    def test_the_moment_that_is_named(self):
        moment = NOON - timedelta(days=1)

        assert policy.origin(Wanted(restore_time=moment), [], ON) == Origin(moment=moment)

    def test_the_latest_moment_if_point_in_time_recovery_is_on(self):
        assert policy.origin(Wanted(), [FIRST], ON) == Origin()

    def test_else_the_newest_finished_backup(self):
        backups = [FIRST, SECOND, UNFINISHED]

        assert policy.origin(Wanted(), backups, Recovery()) == Origin(backup=SECOND)

    def test_nothing_to_restore_from(self):
        with pytest.raises(PrerequisiteNotMetError) as error:
            policy.origin(Wanted(), [UNFINISHED], Recovery())

        assert "nothing to restore from" in str(error.value)

    def test_a_backup_of_something_else(self):
        with pytest.raises(InvalidRequestError) as error:
            policy.origin(Wanted(backup_arn=f"{TABLES}/carts/backup/1"), [FIRST], ON)

        assert "is not an on-demand backup of a table of this name" in str(error.value)
        assert str(error.value).endswith(f"the newest are: {FIRST.backup_arn}")

    def test_an_unfinished_backup(self):
        with pytest.raises(InvalidRequestError) as error:
            policy.origin(Wanted(backup_arn=UNFINISHED.backup_arn), [UNFINISHED], ON)

        assert "is CREATING, not AVAILABLE" in str(error.value)

    @pytest.mark.parametrize("moment", [NOON, NOON - timedelta(days=8)], ids=["late", "early"])
    def test_a_moment_that_is_not_held(self, moment):
        with pytest.raises(InvalidRequestError) as error:
            policy.origin(Wanted(restore_time=moment), [], ON)

        assert str(error.value).endswith(
            "is outside of what can be restored, 2026-02-23T12:00:00.000Z to "
            "2026-03-02T11:55:00.000Z"
        )

    def test_a_moment_without_point_in_time_recovery(self):
        with pytest.raises(InvalidRequestError) as error:
            policy.origin(Wanted(restore_time=NOON), [FIRST], Recovery())

        assert "point-in-time recovery of this table is off" in str(error.value)


class TestPointer:
    def test_must_name_the_original(self):
        moved = dataclasses.replace(POINTER, value="orders-restored-1")

        with pytest.raises(PrerequisiteNotMetError) as error:
            policy.check_pointer(moved, "orders")

        assert "/shop/orders names another table (orders-restored-1)" in str(error.value)

    def test_must_not_be_a_secret(self):
        with pytest.raises(PrerequisiteNotMetError) as error:
            policy.check_pointer(dataclasses.replace(POINTER, type="SecureString"), "orders")

        assert "is a SecureString" in str(error.value)


class TestDecide:
    def test_a_table_without_settings_is_restored_and_nothing_else(self):
        plan = decide()

        assert plan.decision is Decision.CHANGE
        (call,) = plan.calls
        assert call.api == "dynamodb:RestoreTableFromBackup"
        assert call.resource == f"{TABLES}/{NEW}"
        assert call.arguments == {"TargetTableName": NEW, "BackupArn": FIRST.backup_arn}
        assert (call.before, call.after) == ({"TableName": None}, {"TableName": NEW})
        assert call.reversible is True
        assert plan.evidence["recorded_items"] == 5

    def test_says_what_is_restored_and_what_is_not_carried_over(self):
        assert decide().reason == (
            "Restore table orders from backup backup-1 of 2026-02-21T12:00:00.000Z as "
            f"{NEW}. A resource policy, Kinesis streaming, Contributor Insights, alarms, stream "
            "triggers and replicas are not carried over."
        )

    def test_says_which_index_the_backup_lacks(self):
        plan = decide(content=dataclasses.replace(CONTENT, indexes={}))

        assert "The backup lacks index by-day." in plan.reason
        assert plan.evidence["indexes"] == {}

    def test_the_latest_moment_is_chosen_when_it_is_restored(self):
        plan = decide(origin=Origin(), recovery=ON, content=None)

        call = plan.calls[0]
        assert call.api == "dynamodb:RestoreTableToPointInTime"
        assert call.arguments == {
            "TargetTableName": NEW,
            "SourceTableArn": f"{TABLES}/orders",
            "UseLatestRestorableTime": True,
        }
        assert "(2026-03-02T11:55:00.000Z by now)" in plan.reason
        assert plan.evidence["recorded_items"] == 7

    def test_a_named_moment(self):
        plan = decide(origin=Origin(moment=NOON), recovery=ON, content=None)

        assert plan.calls[0].arguments["RestoreDateTime"] == "2026-03-02T12:00:00.000Z"
        assert "as of 2026-03-02T12:00:00.000Z" in plan.reason

    def test_settings_follow_the_restore_and_protection_is_last(self):
        plan = decide(
            source=dataclasses.replace(
                SOURCE, stream_view_type="NEW_IMAGE", deletion_protected=True
            ),
            recovery=ON,
            time_to_live="until",
            tags={"team": "payments"},
        )

        assert [(c.api, c.before, c.after, c.reversible) for c in plan.calls[1:]] == [
            (
                "dynamodb:UpdateTable",
                {"StreamViewType": None},
                {"StreamViewType": "NEW_IMAGE"},
                False,
            ),
            (
                "dynamodb:UpdateTimeToLive",
                {"TimeToLiveAttribute": None},
                {"TimeToLiveAttribute": "until"},
                False,
            ),
            (
                "dynamodb:UpdateContinuousBackups",
                {"RecoveryPeriodInDays": None},
                {"RecoveryPeriodInDays": 7},
                False,
            ),
            ("dynamodb:TagResource", {"tag/team": None}, {"tag/team": "payments"}, False),
            (
                "dynamodb:UpdateTable",
                {"DeletionProtectionEnabled": False},
                {"DeletionProtectionEnabled": True},
                True,
            ),
        ]
        assert "Items past their time to live will expire in it" in plan.reason

    def test_after_a_cut_over_only_that_is_taken_back(self):
        plan = decide(pointer=POINTER, source=dataclasses.replace(SOURCE, deletion_protected=True))

        assert [(c.api, c.reversible) for c in plan.calls] == [
            ("dynamodb:RestoreTableFromBackup", False),
            ("dynamodb:UpdateTable", False),
            ("ssm:PutParameter", True),
        ]
        assert plan.calls[-1].resource == (
            "arn:aws:ssm:us-east-1:123456789012:parameter/shop/orders"
        )
        assert plan.calls[-1].after == {"/shop/orders": NEW}
        assert plan.evidence["pointer_version"] == 3

    def test_a_table_nobody_was_moved_to_may_go(self):
        plan = decide(
            pointer=POINTER,
            source=dataclasses.replace(SOURCE, deletion_protected=True),
            tags={"team": "payments"},
        )

        assert [(c.api, c.reversible) for c in policy.unused(plan)] == [
            ("dynamodb:RestoreTableFromBackup", True),
            ("dynamodb:UpdateTable", True),
        ]


class TestRestore:
    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"status": "CREATING"}, f"table {NEW} is CREATING"),
            ({"restoring": True}, f"table {NEW} is being restored"),
            ({"unfinished_indexes": ("by-day",)}, "index by-day is not ACTIVE"),
        ],
        ids=["table", "items", "index"],
    )
    def test_is_waited_for_and_left_alone_if_it_takes_too_long(self, changed, reason):
        table = dataclasses.replace(COPY, **changed)

        early = policy.judge_restore(table, final=False)
        last = policy.judge_restore(table, final=True)

        assert (early.verdict, early.reason) == (Verdict.PENDING, reason)
        assert last.verdict is Verdict.INCONCLUSIVE

    def test_done(self):
        assert policy.judge_restore(COPY, final=False).verdict is Verdict.PASSED

    def test_gone(self):
        assert policy.judge_restore(None, final=False).verdict is Verdict.PENDING
        assert policy.judge_restore(None, final=True).verdict is Verdict.FAILED


class TestCopy:
    def judge(self, *, table: TableState = COPY, plan: Plan | None = None, **changed):
        compared = Compared(table=table, items=5, counted_all=True, found=3, sampled=4, settings=0)
        return policy.judge_copy(plan or decide(), dataclasses.replace(compared, **changed))

    def test_good(self):
        found = self.judge()

        assert (found.verdict, found.reason) == (
            Verdict.PASSED,
            f"table {NEW} is ACTIVE with 5 items (5 recorded), 3 of 4 sampled ones among them",
        )
        assert all(check.passed for check in found.checks)

    def test_says_when_there_are_more_than_were_counted(self):
        assert "with more than 5 items" in self.judge(counted_all=False).reason

    @pytest.mark.parametrize(
        "changed",
        [
            {"key_schema": "id HASH, day RANGE"},
            {"indexes": {}},
            {"indexes": {"by-day": "day HASH: KEYS_ONLY"}},
            {"indexes": {**INDEXES, "by-name": "name HASH: ALL"}},
        ],
        ids=["keys", "no index", "other index", "one more"],
    )
    def test_unlike_what_it_was_restored_from(self, changed):
        found = self.judge(table=dataclasses.replace(COPY, **changed))

        assert found.verdict is Verdict.FAILED

    @pytest.mark.parametrize(
        ("changed", "doubt"),
        [({"items": 0}, "items"), ({"found": 0}, "sampled items found")],
        ids=["empty", "others"],
    )
    def test_no_data_is_no_proof(self, changed, doubt):
        found = self.judge(**changed)

        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.reason.endswith(f"look at it by hand: {doubt}")

    def test_an_empty_table_restores_as_an_empty_one(self):
        plan = decide(content=dataclasses.replace(CONTENT, item_count=0))

        found = self.judge(plan=plan, items=0, found=0, sampled=0)

        assert found.verdict is Verdict.PASSED

    def test_a_missing_setting_does_not_fail_the_restore(self):
        plan = decide(tags={"team": "payments"})

        missing, complete = self.judge(plan=plan), self.judge(plan=plan, settings=1)

        assert missing.verdict is Verdict.INCONCLUSIVE
        assert missing.reason.endswith("look at it by hand: settings as planned")
        assert complete.verdict is Verdict.PASSED


class TestCutOver:
    GOOD = Verification(verdict=Verdict.PASSED, reason="good")
    BAD = Verification(verdict=Verdict.FAILED, reason="bad")

    def judge(self, verification: Verification, value: str, version: int) -> Verification:
        plan = decide(pointer=POINTER)
        now = dataclasses.replace(POINTER, value=value, version=version)
        return policy.with_pointer(verification, plan.calls[-1], now, 3)

    def test_moved(self):
        found = self.judge(self.GOOD, NEW, 4)

        assert (found.verdict, found.reason) == (
            Verdict.PASSED,
            "good; parameter /shop/orders names it",
        )

    def test_a_good_table_that_nobody_was_moved_to_is_kept(self):
        found = self.judge(self.GOOD, "orders", 3)

        assert found.verdict is Verdict.INCONCLUSIVE
        assert f"aws dynamodb delete-table --table-name {NEW}" in found.reason

    def test_a_bad_table_that_nobody_was_moved_to_goes(self):
        assert self.judge(self.BAD, "orders", 3).verdict is Verdict.FAILED

    def test_somebody_else_changed_the_pointer(self):
        found = self.judge(self.BAD, "other", 5)

        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.reason == "bad; somebody else changed parameter /shop/orders, to other"


class TestUndo:
    def undo(self, plan: Plan) -> Plan:
        calls = [c.inverse() for c in reversed(plan.calls) if c.reversible]
        return Plan(decision=Decision.CHANGE, reason="", calls=calls)

    def test_deleting_needs_a_yes(self):
        plan = self.undo(decide())

        with pytest.raises(PrerequisiteNotMetError) as error:
            policy.check_undo(plan, Mode.ACT, None, SOURCE)

        assert str(error.value) == (
            f'undo: deletes table {NEW}, which needs a yes; start again with "mode": "propose"'
        )
        policy.check_undo(plan, Mode.PROPOSE, POINTER, SOURCE)

    def test_a_table_that_somebody_put_into_use_stays(self):
        used = dataclasses.replace(POINTER, value=NEW)

        with pytest.raises(PrerequisiteNotMetError) as error:
            policy.check_undo(self.undo(decide()), Mode.PROPOSE, used, SOURCE)

        assert "the application uses it" in str(error.value)

    def test_the_only_copy_stays(self):
        with pytest.raises(PrerequisiteNotMetError) as error:
            policy.check_undo(self.undo(decide()), Mode.PROPOSE, None, None)

        assert "is the only copy" in str(error.value)

    def test_moving_back_needs_no_yes_but_the_original(self):
        plan = self.undo(decide(pointer=POINTER))

        policy.check_undo(plan, Mode.ACT, None, SOURCE)
        with pytest.raises(PrerequisiteNotMetError) as error:
            policy.check_undo(plan, Mode.PROPOSE, None, None)
        assert "would name a table that does not exist any more" in str(error.value)

    @pytest.mark.parametrize(
        ("back", "deleted", "verdict"),
        [
            (None, True, Verdict.PASSED),
            (True, None, Verdict.PASSED),
            (None, False, Verdict.PENDING),
            (False, None, Verdict.PENDING),
        ],
    )
    def test_is_waited_for(self, back, deleted, verdict):
        found = policy.judge_undo(pointer_back=back, deleted=deleted, table_name=NEW, final=False)

        assert found.verdict is verdict

    def test_a_deletion_that_takes_too_long_is_not_taken_back(self):
        found = policy.judge_undo(pointer_back=None, deleted=False, table_name=NEW, final=True)

        assert found.verdict is Verdict.INCONCLUSIVE

"""Decisions of back_up_dynamodb_table: what is made, what has expired, what counts as good."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.remediation.contracts import Decision, Plan, Verdict, decode, encode
from lambdas.remediation.errors import PrerequisiteNotMetError, ResourceBusyError
from lambdas.remediation.resources.dynamodb_backup import (
    Backup,
    BackupDescription,
    BackupSource,
    backup_name,
    is_backup_name,
)
from lambdas.runbooks.back_up_dynamodb_table.policy import (
    Situation,
    decide,
    expired,
    judge,
    own,
    undo_obstacles,
    with_pruning,
)
from lambdas.runbooks.back_up_dynamodb_table.runbook import BackUpDynamoDbTableLimits

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
TABLE_ID = "0a0a0a0a-1b1b-2c2c-3d3d-4e4e4e4e4e4e"
EARLIER_ID = "ffffffff-1b1b-2c2c-3d3d-4e4e4e4e4e4e"
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NAME = "remediation-orders-20260302T120000Z-aaaaaaaaaaaa"
LIMITS = BackUpDynamoDbTableLimits(retention_days=35, minimum_kept=1, max_pruned_per_run=10)
SOURCE = BackupSource(
    table_name="orders",
    table_arn=ARN,
    table_id=TABLE_ID,
    status="ACTIVE",
    index_names=("by-age", "by-day"),
)


def backup(days: float, **overrides) -> Backup:
    """A backup of this runbook, so many days old."""
    values = {
        "backup_arn": f"{ARN}/backup/{days:012.4f}",
        "backup_name": f"remediation-orders-20260101T000000Z-{round(days * 1_000):012x}",
        "status": "AVAILABLE",
        "created_at": NOW - timedelta(days=days),
        "table_id": TABLE_ID,
        **overrides,
    }
    return Backup(**values)


def situation(*backups: Backup, **overrides) -> Situation:
    values = {
        "source": SOURCE,
        "backups": backups,
        "prefix": "remediation",
        "backup_name": NAME,
        "limits": LIMITS,
        "now": NOW,
        **overrides,
    }
    return Situation(**values)


def table(**overrides) -> BackupSource:
    return dataclasses.replace(SOURCE, **overrides)


def pruned(plan: Plan) -> list[str]:
    return [c.resource for c in plan.calls if c.api == "dynamodb:DeleteBackup"]


class TestBackupName:
    def test_holds_prefix_table_time_and_a_digest_of_the_run(self):
        name = backup_name("remediation", "orders", "back-up-dynamodb-table:one", NOW)

        assert name == "remediation-orders-20260302T120000Z-234b79aec3dd"

    def test_time_is_utc(self):
        local = datetime.fromisoformat("2026-03-02T14:00:00+02:00")

        assert "20260302T120000Z" in backup_name("remediation", "orders", "one", local)

    def test_two_runs_of_one_moment_have_two_names(self):
        assert backup_name("remediation", "orders", "one", NOW) != backup_name(
            "remediation", "orders", "two", NOW
        )

    def test_a_long_table_name_is_cut(self):
        name = backup_name("remediation", "t" * 255, "one", NOW)

        assert len(name) == 255
        assert is_backup_name(name)

    def test_a_prefix_that_dynamodb_would_not_take_is_refused(self):
        with pytest.raises(PrerequisiteNotMetError) as caught:
            backup_name("team a", "orders", "one", NOW)

        assert "change the prefix" in str(caught.value)

    @given(
        table_name=st.from_regex(r"[a-zA-Z0-9_.-]{3,255}", fullmatch=True),
        run_id=st.text(min_size=1),
        prefix=st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True),
    )
    def test_every_name_is_valid_and_recognised_as_own(self, table_name, run_id, prefix):
        name = backup_name(prefix, table_name, run_id, NOW)
        made = backup(1, backup_name=name)

        assert is_backup_name(name)
        assert own([made], prefix=prefix, table_name=table_name, table_id=TABLE_ID) == (made,)


class TestOwn:
    @pytest.mark.parametrize(
        "foreign",
        [
            {"backup_name": "manual-backup-20260101-000000"},
            {"backup_name": "remediation-orders-before-migration"},
            {"backup_name": "remediation-orders-20260101T000000Z-aaaaaaaaaaaa-copy"},
            {"backup_name": "other-orders-20260101T000000Z-aaaaaaaaaaaa"},
            {"backup_name": "remediation-orders-archive-20260101T000000Z-aaaaaaaaaaaa"},
            {"table_id": EARLIER_ID},
            {"table_id": None},
            {"status": "CREATING"},
        ],
        ids=str,
    )
    def test_what_is_not_surely_of_this_runbook_and_table_is_not(self, foreign):
        found = own(
            [backup(50, **foreign)], prefix="remediation", table_name="orders", table_id=TABLE_ID
        )

        assert found == ()

    def test_oldest_first(self):
        found = own(
            [backup(1), backup(3), backup(2)],
            prefix="remediation",
            table_name="orders",
            table_id=TABLE_ID,
        )

        assert found == (backup(3), backup(2), backup(1))


class TestExpired:
    def test_older_than_the_retention(self):
        assert expired([backup(36), backup(1)], now=NOW, limits=LIMITS) == (backup(36),)

    def test_exactly_at_the_retention_stays(self):
        assert expired([backup(35), backup(1)], now=NOW, limits=LIMITS) == ()

    def test_the_newest_stays_however_old(self):
        assert expired([backup(400), backup(300)], now=NOW, limits=LIMITS) == (backup(400),)

    def test_the_only_one_stays(self):
        assert expired([backup(400)], now=NOW, limits=LIMITS) == ()

    def test_more_may_have_to_stay(self):
        limits = dataclasses.replace(LIMITS, minimum_kept=3)

        assert expired([backup(400), backup(300), backup(200)], now=NOW, limits=limits) == ()

    def test_no_more_than_allowed_in_one_run_the_oldest_first(self):
        limits = dataclasses.replace(LIMITS, max_pruned_per_run=2)
        ours = [backup(d) for d in (90, 80, 70, 60)]

        assert expired(ours, now=NOW, limits=limits) == (backup(90), backup(80))

    def test_none_if_that_is_the_limit(self):
        limits = dataclasses.replace(LIMITS, max_pruned_per_run=0)

        assert expired([backup(90), backup(80)], now=NOW, limits=limits) == ()

    @given(
        days=st.lists(st.integers(0, 4_000), unique=True),
        retention=st.integers(1, 3_650),
        kept=st.integers(1, 100),
        most=st.integers(0, 25),
    )
    def test_never_young_never_the_last_never_too_many(self, days, retention, kept, most):
        limits = dataclasses.replace(
            LIMITS, retention_days=retention, minimum_kept=kept, max_pruned_per_run=most
        )
        ours = [backup(d) for d in sorted(days, reverse=True)]

        gone = expired(ours, now=NOW, limits=limits)

        assert len(gone) <= most
        assert all(b.created_at < NOW - timedelta(days=retention) for b in gone)
        assert len(ours) - len(gone) >= min(kept, len(ours))
        assert list(gone) == ours[: len(gone)]


class TestDecide:
    def test_the_first_backup(self):
        plan = decide(situation())

        assert plan.decision is Decision.CHANGE
        assert plan.reason == f"Back up table orders as {NAME}."
        assert [(c.api, c.resource, c.arguments, c.reversible) for c in plan.calls] == [
            (
                "dynamodb:CreateBackup",
                ARN,
                {"TableName": "orders", "BackupName": NAME},
                True,
            )
        ]
        assert plan.evidence == {
            "table_id": TABLE_ID,
            "index_names": ["by-age", "by-day"],
            "own_backups": 0,
            "pruning": True,
        }

    def test_then_deletes_what_has_expired(self):
        plan = decide(situation(backup(50), backup(40), backup(1)))

        assert [c.api for c in plan.calls] == [
            "dynamodb:CreateBackup",
            "dynamodb:DeleteBackup",
            "dynamodb:DeleteBackup",
        ]
        assert pruned(plan) == [backup(50).backup_arn, backup(40).backup_arn]
        assert [c.reversible for c in plan.calls] == [True, False, False]
        assert plan.reason == (
            f"Back up table orders as {NAME}. Then delete 2 backups of this runbook, older than "
            "35 days; that cannot be undone."
        )

    def test_the_new_backup_does_not_count_as_kept(self):
        """Undo deletes it: the table must then still have what it had."""
        assert pruned(decide(situation(backup(50)))) == []

    def test_the_runs_own_backup_is_not_an_earlier_one(self):
        """Prepare was retried after an answer was lost."""
        mine = backup(0, backup_name=NAME)

        plan = decide(situation(backup(50), mine))

        assert pruned(plan) == []
        assert plan.evidence["own_backups"] == 1

    def test_a_person_may_keep_what_has_expired(self):
        plan = decide(situation(backup(50), backup(1), prune=False))

        assert pruned(plan) == []
        assert plan.evidence["pruning"] is False

    def test_backups_of_an_earlier_table_of_that_name_stay(self):
        earlier = backup(50, table_id=EARLIER_ID)

        assert pruned(decide(situation(earlier, backup(1)))) == []

    def test_a_table_that_is_being_updated_can_be_backed_up(self):
        plan = decide(situation(source=table(status="UPDATING")))

        assert plan.decision is Decision.CHANGE

    def test_waits_for_a_table_that_is_being_created(self):
        with pytest.raises(ResourceBusyError):
            decide(situation(source=table(status="CREATING")))

    @pytest.mark.parametrize(
        "status", ["DELETING", "ARCHIVING", "ARCHIVED", "INACCESSIBLE_ENCRYPTION_CREDENTIALS"]
    )
    def test_refuses_a_table_in_any_other_state(self, status):
        with pytest.raises(PrerequisiteNotMetError) as caught:
            decide(situation(source=table(status=status)))

        assert str(caught.value) == f"table orders is {status}, it must be ACTIVE"

    def test_a_plan_survives_the_run_table(self):
        plan = decide(situation(backup(50), backup(1)))

        assert decode(Plan, encode(plan)) == plan


class TestJudge:
    PLAN = decide(situation())
    GOOD = BackupDescription(
        backup_arn=f"{ARN}/backup/one",
        backup_name=NAME,
        status="AVAILABLE",
        table_id=TABLE_ID,
        index_names=("by-age", "by-day"),
    )

    def judge(self, final: bool = False, **overrides):
        return judge(self.PLAN, dataclasses.replace(self.GOOD, **overrides), final=final)

    def test_a_good_backup(self):
        found = self.judge()

        assert found.verdict is Verdict.PASSED
        assert found.reason == (
            f"backup {ARN}/backup/one is AVAILABLE, of the right table, with 2 indexes"
        )
        assert all(c.passed for c in found.checks)

    def test_of_a_table_without_indexes(self):
        plan = decide(situation(source=table(index_names=())))

        found = judge(plan, dataclasses.replace(self.GOOD, index_names=()), final=False)

        assert found.reason == f"backup {ARN}/backup/one is AVAILABLE, of the right table"

    @pytest.mark.parametrize(
        ("final", "verdict"), [(False, Verdict.PENDING), (True, Verdict.FAILED)]
    )
    def test_unfinished(self, final, verdict):
        found = self.judge(final, status="CREATING")

        assert (found.verdict, found.reason) == (verdict, "the backup is CREATING")

    @pytest.mark.parametrize(
        ("final", "verdict"), [(False, Verdict.PENDING), (True, Verdict.FAILED)]
    )
    def test_absent(self, final, verdict):
        found = judge(self.PLAN, None, final=final)

        assert (found.verdict, found.reason) == (verdict, "there is no such backup")

    @pytest.mark.parametrize("table_id", [EARLIER_ID, None])
    def test_of_another_table_of_that_name(self, table_id):
        found = self.judge(table_id=table_id)

        assert found.verdict is Verdict.FAILED
        assert found.reason == f"the backup is of table {table_id}, not of {TABLE_ID}"
        assert [c.passed for c in found.checks] == [False, True]

    def test_without_an_index(self):
        found = self.judge(index_names=("by-day",))

        assert (found.verdict, found.reason) == (Verdict.FAILED, "the backup lacks index by-age")
        assert (found.checks[1].observed, found.checks[1].threshold) == (1, 2)

    def test_an_index_more_does_no_harm(self):
        assert self.judge(index_names=("by-age", "by-day", "new")).verdict is Verdict.PASSED


class TestWithPruning:
    PLAN = decide(situation(backup(50), backup(40), backup(1)))
    GOOD = judge(PLAN, TestJudge.GOOD, final=False)

    def test_everything_planned_is_gone(self):
        found = with_pruning(self.GOOD, self.PLAN, [backup(1)])

        assert found.verdict is Verdict.PASSED
        assert found.reason == f"{self.GOOD.reason}; 2 expired backups deleted"
        assert (found.checks[-1].observed, found.checks[-1].passed) == (0, True)

    def test_what_is_left_does_not_make_the_backup_bad(self):
        found = with_pruning(self.GOOD, self.PLAN, [backup(40), backup(1)])

        assert found.verdict is Verdict.PASSED
        assert found.reason == (
            f"{self.GOOD.reason}; 1 expired backup deleted, 1 left for the next run"
        )
        assert (found.checks[-1].observed, found.checks[-1].passed) == (1, False)

    def test_a_bad_backup_stays_bad(self):
        bad = judge(self.PLAN, None, final=True)

        assert with_pruning(bad, self.PLAN, []) == bad

    def test_nothing_to_prune_nothing_to_say(self):
        assert with_pruning(self.GOOD, decide(situation()), []) == self.GOOD


class TestUndoObstacles:
    def test_none(self):
        assert undo_obstacles([backup(0)], SOURCE) == []

    def test_an_unfinished_backup(self):
        found = undo_obstacles([backup(0, status="CREATING", backup_name=NAME)], SOURCE)

        assert found == [f"{NAME} is CREATING, try again when it is finished"]

    @pytest.mark.parametrize("source", [None, table(table_id=EARLIER_ID)])
    def test_the_last_copy_of_a_table_that_is_gone(self, source):
        (found,) = undo_obstacles([backup(0, backup_name=NAME)], source)

        assert found.startswith(f"the table that {NAME} was made of is gone")

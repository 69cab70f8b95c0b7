"""Steps of optimize_dynamodb_queries: what they call, what they leave, and what they answer.

The clients are fakes in memory: moto has no Contributor Insights, and fills an index at once.
"""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

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
)
from lambdas.remediation.errors import (
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
)
from lambdas.remediation.resources.contributor_insights import ContributorInsights
from lambdas.remediation.resources.scalable_target import ScalableTargets
from lambdas.remediation.resources.table_indexes import TableIndexes
from lambdas.remediation.resources.table_requests import TableRequests
from lambdas.remediation.step import Attempt, Clock, steps_of
from lambdas.runbooks.optimize_dynamodb_queries import steps
from lambdas.runbooks.optimize_dynamodb_queries.runbook import RUNBOOK

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
EARLY, LAST = Attempt(number=1, final=False), Attempt(number=30, final=True)
INDEX = {
    "index_name": "by-owner",
    "partition_key": "owner",
    "partition_key_type": "S",
    "sort_key": None,
    "sort_key_type": None,
    "include": [],
}
BOTH = {"insights": "throttled_keys", "show_keys": True, "index": INDEX}
# What DynamoDB does in the name of the caller.
BEHIND_THE_CALL = {"change_table": {"iam:CreateServiceLinkedRole@contributor-insights"}}


class FixedClock(Clock):
    def __init__(self, moment: datetime = NOON) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


class Pages:
    def __init__(self, page: dict[str, Any]) -> None:
        self.page = page

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [self.page]


class Aws:
    """The table `orders`, its insights and metrics; a client of each service; the calls made."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.refused: dict[str, str] = {}
        self.indexes: dict[str, dict[str, Any]] = {}
        self.status = "DISABLED"
        self.mode = "THROTTLED_KEYS"
        self.scaled: list[dict[str, Any]] = []
        self.values: dict[str, float] = {}
        self.keys: list[str] = []

    def _called(self, action: str) -> None:
        self.calls.append(action)
        if action in self.refused:
            code = self.refused[action]
            raise ClientError({"Error": {"Code": code, "Message": "why"}}, action)

    # --- DynamoDB ---

    def describe_table(self, **_: Any) -> dict[str, Any]:
        self._called("dynamodb:DescribeTable")
        return {
            "Table": {
                "TableName": "orders",
                "TableArn": ARN,
                "TableStatus": "ACTIVE",
                "AttributeDefinitions": [
                    {"AttributeName": "id", "AttributeType": "S"},
                    {"AttributeName": "owner", "AttributeType": "S"},
                ],
                "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
                "GlobalSecondaryIndexes": list(self.indexes.values()),
            }
        }

    def update_table(self, **asked: Any) -> None:
        self._called("dynamodb:UpdateTable")
        (update,) = asked["GlobalSecondaryIndexUpdates"]
        if "Delete" in update:
            del self.indexes[update["Delete"]["IndexName"]]
        else:
            created = {**update["Create"], "IndexStatus": "CREATING", "Backfilling": True}
            self.indexes[created["IndexName"]] = created

    def fill(self) -> None:
        """DynamoDB comes to an end."""
        for index in self.indexes.values():
            index.update(IndexStatus="ACTIVE", Backfilling=False)
        self.status = self.status.replace("ING", "ED")

    def describe_contributor_insights(self, **_: Any) -> dict[str, Any]:
        self._called("dynamodb:DescribeContributorInsights")
        rules = [f"DynamoDBContributorInsights-{kind}-orders-1" for kind in ("PKC", "PKT")]
        return {
            "ContributorInsightsStatus": self.status,
            "ContributorInsightsMode": self.mode,
            "ContributorInsightsRuleList": rules if self.status == "ENABLED" else [],
        }

    def update_contributor_insights(self, **asked: Any) -> None:
        self._called("dynamodb:UpdateContributorInsights")
        enable = asked["ContributorInsightsAction"] == "ENABLE"
        self.status = "ENABLING" if enable else "DISABLING"
        self.mode = asked.get("ContributorInsightsMode", self.mode)

    # --- CloudWatch and Application Auto Scaling ---

    def get_paginator(self, operation: str) -> Any:
        if operation == "describe_scalable_targets":
            self._called("application-autoscaling:DescribeScalableTargets")
            return Pages({"ScalableTargets": self.scaled})
        return self

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:
        self._called("cloudwatch:GetMetricData")
        results = []
        for query in asked["MetricDataQueries"]:
            stat = query["MetricStat"]
            operation = next(
                (
                    f"/{d['Value']}"
                    for d in stat["Metric"]["Dimensions"]
                    if d["Name"] != "TableName"
                ),
                "",
            )
            value = self.values.get(f"{stat['Metric']['MetricName']}{operation}/{stat['Stat']}")
            found = [] if value is None else [value]
            moments = [asked["StartTime"]] * len(found)
            results.append({"Id": query["Id"], "Timestamps": moments, "Values": found})
        return [{"MetricDataResults": results}]

    def get_insight_rule_report(self, **_: Any) -> dict[str, Any]:
        self._called("cloudwatch:GetInsightRuleReport")
        found = [{"Keys": [key], "ApproximateAggregateValue": 3.0} for key in self.keys]
        return {"Contributors": found}

    # --- steps ---

    def resources(self) -> dict[str, Any]:
        return {"insights": ContributorInsights(self), "indexes": TableIndexes(self)}

    def prepare(self, run: Run):
        return steps.prepare(
            run=run,
            clock=FixedClock(),
            scaling=ScalableTargets(self),
            requests=TableRequests(self),
            **self.resources(),
        )

    def change(self, plan: Plan) -> Change:
        return steps.change_table(plan=plan, clock=FixedClock(), **self.resources())

    def check(self, run: Run, plan: Plan, attempt: Attempt = EARLY):
        return steps.check_table(run=run, plan=plan, attempt=attempt, **self.resources())

    def verify(self, run: Run, plan: Plan, change: Change | None, *, minutes: int = 10):
        return steps.verify(
            run=run,
            plan=plan,
            change=change,
            attempt=EARLY,
            clock=FixedClock(NOON + timedelta(minutes=minutes)),
            requests=TableRequests(self),
            **self.resources(),
        )

    def hold(self, run: Run, plan: Plan):
        return steps.watch_hold(run=run, plan=plan, **self.resources())

    def check_undo(self, run: Run, plan: Plan) -> None:
        steps.check_undo(run=run, plan=plan, clock=FixedClock(), requests=TableRequests(self))

    def roll_back(self, plan: Plan) -> Change:
        return steps.roll_back(plan=plan, clock=FixedClock(), **self.resources())


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture
def run() -> Run:
    return Run(
        id="optimize-dynamodb-queries:one",
        runbook="optimize_dynamodb_queries",
        kind=Kind.CHANGE,
        mode=Mode.PROPOSE,
        trigger=Trigger.PERSON,
        target={"table_name": "orders"},
        target_arn=ARN,
        parameters=BOTH,
        reason="",
        requested_by="person",
        execution=Execution(
            arn="arn:aws:states:us-east-1:123456789012:execution:remediation-x:one",
            name="one",
            started_at=NOON,
        ),
        lease_until=NOON + timedelta(hours=9),
        limits=RUNBOOK.limits.as_dict(),
    )


@pytest.fixture
def undo(run) -> Run:
    return dataclasses.replace(run, kind=Kind.UNDO, undoes=run.id)


@pytest.fixture
def observed(run) -> Run:
    """A report, without anything asked for."""
    return dataclasses.replace(run, mode=Mode.OBSERVE, parameters={})


@pytest.fixture
def plan(aws, run) -> Plan:
    made = aws.prepare(run).plan
    aws.calls.clear()
    return made


def inverse(plan: Plan) -> Plan:
    """The undo run's plan."""
    calls = [c.inverse() for c in reversed(plan.calls)]
    return Plan(decision=Decision.CHANGE, reason="undo", calls=calls)


class TestPrepare:
    def test_plans_insights_and_index_and_records_what_was_there(self, aws, run):
        aws.values = {
            "SuccessfulRequestLatency/Query/Sum": 500.0,
            "SuccessfulRequestLatency/Query/SampleCount": 40.0,
            "ConsumedReadCapacityUnits/Sum": 900.0,
        }

        prepared = aws.prepare(run)

        assert [c.after for c in prepared.plan.calls] == [
            {"ContributorInsights": "THROTTLED_KEYS"},
            {
                "index/by-owner": {
                    "keys": ["owner S HASH"],
                    "projection": "KEYS_ONLY",
                    "included": [],
                }
            },
        ]
        assert prepared.plan.evidence["requests"] == {
            "milliseconds": {"Query": 12.5},
            "read_units_per_second": 1.0,
        }
        assert prepared.snapshot["insights"]["mode"] == "OFF"
        assert (aws.status, aws.indexes) == ("DISABLED", {})

    def test_a_table_that_scales_by_itself_gets_no_index(self, aws, run):
        aws.scaled = [
            {
                "ResourceId": "table/orders",
                "ScalableDimension": "dynamodb:table:WriteCapacityUnits",
                "MinCapacity": 5,
                "MaxCapacity": 50,
            }
        ]

        with pytest.raises(PrerequisiteNotMetError, match="scales by itself"):
            aws.prepare(run)

    def test_a_report_holds_digests_of_throttled_keys(self, aws, observed):
        aws.status, aws.keys = "ENABLED", ["alice@example.org"]

        plan = aws.prepare(observed).plan

        (key,) = plan.evidence["throttled_keys"]
        assert key["throttled"] == 3.0
        assert len(key["key_sha256"]) == 16
        assert "alice" not in str(plan)

    def test_keys_that_cannot_be_read_do_not_stop_a_report(self, aws, observed):
        aws.status = "ENABLED"
        aws.refused["cloudwatch:GetInsightRuleReport"] = "AccessDenied"

        plan = aws.prepare(observed).plan

        assert plan.evidence["throttled_keys"] == "not readable: ClientError"

    def test_keys_are_not_read_when_nobody_only_looks(self, aws, run):
        aws.status = "ENABLED"

        assert aws.prepare(run).plan.evidence["throttled_keys"] == "read in observe mode only"


class TestChangeTable:
    def test_begins_both(self, aws, plan):
        change = aws.change(plan)

        assert (aws.status, aws.mode) == ("ENABLING", "THROTTLED_KEYS")
        assert list(aws.indexes) == ["by-owner"]
        assert [c.already_applied for c in change.calls] == [False, False]

    def test_a_second_time_changes_nothing(self, aws, plan):
        aws.change(plan)
        aws.calls.clear()

        change = aws.change(plan)

        assert [c.already_applied for c in change.calls] == [True, True]
        assert not {"dynamodb:UpdateTable", "dynamodb:UpdateContributorInsights"} & set(aws.calls)

    def test_a_table_that_is_busy_is_tried_again(self, aws, plan):
        aws.refused["dynamodb:UpdateTable"] = "ResourceInUseException"

        with pytest.raises(ResourceBusyError):
            aws.change(plan)


class TestCheckTable:
    def test_waits_until_the_index_is_filled(self, aws, run, plan):
        aws.change(plan)
        early, late = aws.check(run, plan).verdict, aws.check(run, plan, LAST).verdict
        aws.fill()

        assert (early, late) == (Verdict.PENDING, Verdict.INCONCLUSIVE)
        assert aws.check(run, plan).verdict is Verdict.PASSED


class TestVerify:
    @pytest.fixture
    def change(self, aws, plan) -> Change:
        made = aws.change(plan)
        aws.fill()
        return made

    def test_reports_the_latency_since(self, aws, run, plan, change):
        aws.values = {
            "SuccessfulRequestLatency/Query/Sum": 90.0,
            "SuccessfulRequestLatency/Query/SampleCount": 10.0,
        }

        found = aws.verify(run, plan, change)

        assert found.verdict is Verdict.PASSED
        assert found.reason.endswith(
            "Before: no queries, 0 read units/s; since: Query 9 ms, 0 read units/s"
        )

    def test_before_a_period_is_over_there_is_nothing_to_report(self, aws, run, plan, change):
        found = aws.verify(run, plan, change, minutes=0)

        assert found.verdict is Verdict.PASSED
        assert "since" not in found.reason

    def test_an_undo_passes_when_both_are_gone(self, aws, undo, plan, change):
        before = aws.verify(undo, inverse(plan), change).verdict
        aws.roll_back(plan)
        aws.fill()

        assert before is Verdict.PENDING
        assert aws.verify(undo, inverse(plan), change).verdict is Verdict.PASSED


class TestWatchHold:
    def test_still_there_or_not(self, aws, run, plan):
        aws.change(plan)
        aws.fill()
        there = aws.hold(run, plan).verdict
        aws.indexes.clear()

        assert (there, aws.hold(run, plan).verdict) == (Verdict.PASSED, Verdict.FAILED)


class TestCheckUndo:
    def test_refuses_while_the_index_is_read(self, aws, undo, plan):
        aws.values["ConsumedReadCapacityUnits/by-owner/Sum"] = 0.5

        with pytest.raises(PrerequisiteNotMetError, match=r"by-owner of orders was read .*0\.5"):
            aws.check_undo(undo, inverse(plan))

    def test_allows_it_when_nothing_reads_it(self, aws, undo, plan):
        aws.values["ConsumedReadCapacityUnits/Sum"] = 100.0

        aws.check_undo(undo, inverse(plan))

        assert aws.calls == ["cloudwatch:GetMetricData"]

    def test_insights_alone_can_always_be_switched_back(self, aws, undo, plan):
        insights_only = dataclasses.replace(plan, calls=plan.calls[:1])

        aws.check_undo(undo, inverse(insights_only))

        assert aws.calls == []


class TestRollBack:
    def test_deletes_this_index_and_switches_insights_back(self, aws, plan):
        aws.indexes["other"] = {
            "IndexName": "other",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        }
        aws.change(plan)

        change = aws.roll_back(plan)

        assert list(aws.indexes) == ["other"]
        assert aws.status == "DISABLING"
        assert [c.api for c in change.calls] == [
            "dynamodb:UpdateTable",
            "dynamodb:UpdateContributorInsights",
        ]

    def test_goes_back_to_the_mode_that_was_there(self, aws, run):
        aws.status, aws.mode = "ENABLED", "ACCESSED_AND_THROTTLED_KEYS"
        plan = aws.prepare(run).plan
        aws.change(plan)
        aws.fill()

        aws.roll_back(plan)

        assert (aws.status, aws.mode) == ("ENABLING", "ACCESSED_AND_THROTTLED_KEYS")

    def test_what_was_not_made_is_left_alone(self, aws, plan):
        assert aws.roll_back(plan).calls == []

    def test_an_index_that_somebody_made_anew_is_left_alone(self, aws, plan):
        aws.change(plan)
        aws.indexes["by-owner"]["KeySchema"] = [{"AttributeName": "id", "KeyType": "HASH"}]

        with pytest.raises(RollbackFailedError):
            aws.roll_back(plan)

        assert list(aws.indexes) == ["by-owner"]


class TestDeclaredCalls:
    """`calls` is what the roles are made of: no more and no less than what is really called."""

    def assert_declared(self, aws: Aws, name: str, act: Callable[[], object]) -> None:
        aws.calls.clear()
        act()
        declared = set(steps_of(steps)[name].calls)
        assert set(aws.calls) | BEHIND_THE_CALL.get(name, set()) == declared

    def test_prepare(self, aws, run):
        aws.status, aws.mode = "ENABLED", "ACCESSED_AND_THROTTLED_KEYS"
        observing = dataclasses.replace(run, mode=Mode.OBSERVE)

        self.assert_declared(aws, "prepare", lambda: aws.prepare(observing))

    def test_change_table(self, aws, plan):
        self.assert_declared(aws, "change_table", lambda: aws.change(plan))

    def test_check_table(self, aws, run, plan):
        self.assert_declared(aws, "check_table", lambda: aws.check(run, plan))

    def test_verify(self, aws, run, plan):
        change = aws.change(plan)
        aws.fill()

        self.assert_declared(aws, "verify", lambda: aws.verify(run, plan, change))

    def test_watch_hold(self, aws, run, plan):
        self.assert_declared(aws, "watch_hold", lambda: aws.hold(run, plan))

    def test_check_undo(self, aws, undo, plan):
        self.assert_declared(aws, "check_undo", lambda: aws.check_undo(undo, inverse(plan)))

    def test_roll_back(self, aws, plan):
        aws.change(plan)

        self.assert_declared(aws, "roll_back", lambda: aws.roll_back(plan))

    def test_every_step_is_covered_here(self):
        covered = {n.removeprefix("test_") for n in dir(self) if n.startswith("test_")}

        assert set(steps_of(steps)) == covered - {"every_step_is_covered_here"}

"""Steps of dynamodb_throttling against simulated AWS: what they call, change, raise and answer."""

import dataclasses
import functools
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from lambdas.remediation.contracts import (
    Change,
    ChildRequest,
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
    ConcurrentChangeError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.resources.dynamodb_table import DynamoDbTables
from lambdas.remediation.resources.metrics import Metrics
from lambdas.remediation.resources.scalable_target import ScalableTargets
from lambdas.remediation.step import Attempt, Clock, steps_of
from lambdas.runbooks.dynamodb_throttling import steps
from lambdas.runbooks.dynamodb_throttling.runbook import RUNBOOK

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
EARLY, LAST = Attempt(number=1, final=False), Attempt(number=15, final=True)


@functools.cache
def _session() -> boto3.session.Session:
    # One for the module: a session parses the service models again.
    return boto3.session.Session(
        aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )


class FixedClock(Clock):
    def __init__(self, now: datetime) -> None:
        self.moment = now

    def now(self) -> datetime:
        return self.moment


class Aws:
    """Simulated AWS with the table `orders` and its index, and a record of the calls made."""

    def __init__(self) -> None:
        session = _session()
        self.dynamodb = session.client("dynamodb")
        self.cloudwatch = session.client("cloudwatch")
        self.scaling = session.client("application-autoscaling")
        self.calls: list[str] = []
        self.answers: dict[str, object] = {}
        self._create_table()
        for client in (self.dynamodb, self.cloudwatch, self.scaling):
            client.meta.events.register_last("before-call", self._before_call)
        self.tables = DynamoDbTables(self.dynamodb)
        self.targets = ScalableTargets(self.scaling)
        self.metrics = Metrics(self.cloudwatch)

    def _create_table(self) -> None:
        self.dynamodb.create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "day", "AttributeType": "S"},
            ],
            ProvisionedThroughput={"ReadCapacityUnits": 4, "WriteCapacityUnits": 5},
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-day",
                    "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                    "ProvisionedThroughput": {"ReadCapacityUnits": 6, "WriteCapacityUnits": 7},
                }
            ],
        )

    def _before_call(self, model, **_):
        call = f"{model.service_model.service_name}:{model.name}"
        self.calls.append(call)
        if call not in self.answers:
            return None
        answer = self.answers[call]
        if isinstance(answer, str):
            raise ClientError({"Error": {"Code": answer, "Message": "why"}}, model.name)
        return SimpleNamespace(status_code=200), answer

    def put(self, name: str, at: datetime, value: float, *, index: str | None = None) -> None:
        dimensions = [{"Name": "TableName", "Value": "orders"}]
        if index:
            dimensions.append({"Name": "GlobalSecondaryIndexName", "Value": index})
        self.cloudwatch.put_metric_data(
            Namespace="AWS/DynamoDB",
            MetricData=[
                {"MetricName": name, "Dimensions": dimensions, "Timestamp": at, "Value": value}
            ],
        )

    def throttle(self, at: datetime, count: float, cause: str = "ProvisionedThroughput") -> None:
        self.put("WriteThrottleEvents", at, count)
        self.put(f"Write{cause}ThrottleEvents", at, count)

    def scale_table_writes(self, minimum: int = 5, maximum: int = 50) -> None:
        self.scaling.register_scalable_target(
            ServiceNamespace="dynamodb",
            ResourceId="table/orders",
            ScalableDimension="dynamodb:table:WriteCapacityUnits",
            MinCapacity=minimum,
            MaxCapacity=maximum,
        )

    def writes(self) -> tuple[int, int]:
        """Write capacity of table and index."""
        table, index = self.tables.read("orders").table_and_indexes
        return table.write_capacity_units, index.write_capacity_units

    def prepare(self, run: Run, now: datetime = NOON):
        return steps.prepare(
            run=run,
            clock=FixedClock(now),
            tables=self.tables,
            targets=self.targets,
            metrics=self.metrics,
        )

    def bump(self, plan: Plan, now: datetime = NOON) -> Change:
        return steps.bump_capacity(
            plan=plan, clock=FixedClock(now), tables=self.tables, targets=self.targets
        )

    def check(self, run: Run, plan: Plan, attempt: Attempt = EARLY):
        return steps.check_table(
            run=run, plan=plan, attempt=attempt, tables=self.tables, targets=self.targets
        )

    def verify(self, run: Run, plan: Plan, change: Change | None, now: datetime, attempt=EARLY):
        return steps.verify(
            run=run,
            plan=plan,
            change=change,
            attempt=attempt,
            clock=FixedClock(now),
            tables=self.tables,
            targets=self.targets,
            metrics=self.metrics,
        )

    def hold(self, run: Run, plan: Plan, change: Change | None, now: datetime):
        return steps.watch_hold(
            run=run,
            plan=plan,
            change=change,
            clock=FixedClock(now),
            tables=self.tables,
            metrics=self.metrics,
        )

    def check_undo(self, run: Run, plan: Plan, now: datetime = NOON) -> None:
        steps.check_undo(
            run=run,
            plan=plan,
            clock=FixedClock(now),
            tables=self.tables,
            metrics=self.metrics,
        )

    def roll_back(self, plan: Plan, now: datetime = NOON) -> Change:
        return steps.roll_back(
            plan=plan, clock=FixedClock(now), tables=self.tables, targets=self.targets
        )


@pytest.fixture
def aws(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield Aws()


@pytest.fixture
def run() -> Run:
    return Run(
        id="dynamodb-throttling:one",
        runbook="dynamodb_throttling",
        kind=Kind.CHANGE,
        mode=Mode.ACT,
        trigger=Trigger.ALARM,
        target={"table_name": "orders"},
        target_arn=ARN,
        parameters={},
        reason="",
        requested_by="alarm",
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
    return dataclasses.replace(run, id="dynamodb-throttling:two", kind=Kind.UNDO, undoes=run.id)


@pytest.fixture
def plan(aws, run) -> Plan:
    """Raises table writes 5 to 10 and index writes 7 to 14."""
    aws.throttle(NOON - 2 * MINUTE, 12)
    made = aws.prepare(run).plan
    aws.calls.clear()
    return made


@pytest.fixture
def scaled_plan(aws, run) -> Plan:
    """Raises the minimum of the table's writes to 10, and index writes 7 to 14."""
    aws.scale_table_writes()
    aws.throttle(NOON - 2 * MINUTE, 12)
    made = aws.prepare(run).plan
    aws.calls.clear()
    return made


def inverse(plan: Plan) -> Plan:
    """The undo run's plan."""
    calls = [c.inverse() for c in reversed(plan.calls)]
    return Plan(decision=Decision.CHANGE, reason="undo", calls=calls)


class TestPrepare:
    def test_plans_both_write_capacities_and_records_what_is_there(self, aws, run):
        aws.throttle(NOON - 2 * MINUTE, 12)

        prepared = aws.prepare(run)

        assert [c.after for c in prepared.plan.calls] == [
            {"WriteCapacityUnits": 10, "index/by-day/WriteCapacityUnits": 14}
        ]
        assert prepared.snapshot["table"]["billing_mode"] == "PROVISIONED"
        assert [
            (p["index_name"], p["read_capacity_units"], p["write_capacity_units"])
            for p in prepared.snapshot["table"]["table_and_indexes"]
        ] == [(None, 4, 5), ("by-day", 6, 7)]
        assert prepared.snapshot["scalable_targets"] == []

    def test_answer_is_plain_json(self, aws, run):
        aws.scale_table_writes()
        aws.throttle(NOON - 2 * MINUTE, 12)

        data = encode(aws.prepare(run))

        assert data["snapshot"]["scalable_targets"][0]["min_capacity"] == 5
        assert data["plan"]["calls"][1]["before"] == {"MinCapacity": 5, "MaxCapacity": 50}

    def test_consumption_is_per_second(self, aws, run):
        aws.throttle(NOON - 2 * MINUTE, 12)
        aws.put("ConsumedWriteCapacityUnits", NOON - 2 * MINUTE, 2_400)

        plan = aws.prepare(run).plan

        # 2400 in a minute are 40 a second: 40 * 1.5 / 0.7 = 85.7.
        assert plan.calls[0].after["WriteCapacityUnits"] == 86

    def test_a_throttled_index_alone_is_found(self, aws, run):
        aws.put("WriteThrottleEvents", NOON - MINUTE, 3, index="by-day")

        plan = aws.prepare(run).plan

        assert plan.evidence["throttled"][0]["index_name"] == "by-day"
        assert plan.decision is Decision.CHANGE

    def test_the_running_period_counts(self, aws, run):
        aws.throttle(NOON, 1)

        assert aws.prepare(run, NOON + timedelta(seconds=20)).plan.decision is Decision.CHANGE

    def test_throttling_before_the_look_back_does_not(self, aws, run):
        aws.throttle(NOON - 17 * MINUTE, 12)

        with pytest.raises(PrerequisiteNotMetError):
            aws.prepare(run)

    def test_asks_for_less_when_the_person_does(self, aws, run):
        aws.throttle(NOON - 2 * MINUTE, 12)

        plan = aws.prepare(dataclasses.replace(run, parameters={"max_capacity_units": 8})).plan

        assert plan.calls[0].after == {
            "WriteCapacityUnits": 8,
            "index/by-day/WriteCapacityUnits": 8,
        }

    def test_limits_of_the_run_count(self, aws, run):
        aws.throttle(NOON - 2 * MINUTE, 12)
        limits = {**run.limits, "max_capacity_units": 5}

        plan = aws.prepare(dataclasses.replace(run, limits=limits)).plan

        assert plan.decision is Decision.HAND_OVER

    def test_on_demand_is_an_option(self, aws, run):
        aws.throttle(NOON - 2 * MINUTE, 12)
        limits = {**run.limits, "max_capacity_units": 5}
        allowed = dataclasses.replace(run, limits=limits, options={"allow_on_demand": True})

        plan = aws.prepare(allowed).plan

        assert plan.calls[0].after["BillingMode"] == "PAY_PER_REQUEST"

    def test_a_backup_goes_before_the_change_where_it_is_configured(self, aws, run):
        aws.throttle(NOON - 2 * MINUTE, 12)

        plan = aws.prepare(dataclasses.replace(run, options={"back_up_first": True})).plan

        assert plan.child == ChildRequest(
            runbook="back_up_dynamodb_table",
            target={"table_name": "orders"},
            reason=f"before run {run.id}",
        )

    def test_no_backup_is_taken_where_nothing_is_changed(self, aws, run):
        aws.throttle(NOON - 2 * MINUTE, 12)
        limits = {**run.limits, "max_capacity_units": 5}
        asked = dataclasses.replace(run, limits=limits, options={"back_up_first": True})

        assert aws.prepare(asked).plan.child is None

    @pytest.mark.parametrize(
        ("status", "expected"),
        [("UPDATING", ResourceBusyError), ("ARCHIVED", PrerequisiteNotMetError)],
    )
    def test_a_table_that_is_not_active(self, aws, run, status, expected):
        table = aws.dynamodb.describe_table(TableName="orders")
        table["Table"]["TableStatus"] = status
        aws.answers["dynamodb:DescribeTable"] = table

        with pytest.raises(expected) as caught:
            aws.prepare(run)

        assert status in str(caught.value)

    def test_a_table_that_does_not_exist(self, aws, run):
        absent = dataclasses.replace(run, target={"table_name": "absent"})

        with pytest.raises(TargetNotFoundError):
            aws.prepare(absent)

    def test_metrics_that_cannot_be_read_now(self, aws, run):
        aws.answers["cloudwatch:GetMetricData"] = "Throttling"

        with pytest.raises(ThrottledError):
            aws.prepare(run)


class TestHotKeys:
    RULES = {  # noqa: RUF012
        "ContributorInsightsStatus": "ENABLED",
        "ContributorInsightsRuleList": [
            "DynamoDBContributorInsights-PKC-orders-1",
            "DynamoDBContributorInsights-PKT-orders-1",
        ],
    }
    REPORT = {  # noqa: RUF012
        "Contributors": [{"Keys": ["customer-7"], "ApproximateAggregateValue": 90.0}]
    }

    @pytest.fixture(autouse=True)
    def _hot(self, aws):
        aws.throttle(NOON - 2 * MINUTE, 90, cause="KeyRangeThroughput")
        aws.answers["dynamodb:DescribeContributorInsights"] = self.RULES
        aws.answers["cloudwatch:GetInsightRuleReport"] = self.REPORT

    @pytest.fixture
    def allowed(self, run) -> Run:
        return dataclasses.replace(run, options={"allow_contributor_insights": True})

    def test_are_not_read_by_default(self, aws, run):
        plan = aws.prepare(run).plan

        assert plan.decision is Decision.HAND_OVER
        assert "option allow_contributor_insights is off" in plan.evidence["contributor_insights"]
        assert "dynamodb:DescribeContributorInsights" not in aws.calls

    def test_are_evidence_when_allowed_and_enabled(self, aws, allowed):
        plan = aws.prepare(allowed).plan

        assert plan.decision is Decision.HAND_OVER
        assert plan.evidence["hot_keys"] == [
            {
                "index_name": None,
                "rule": "DynamoDBContributorInsights-PKT-orders-1",
                "keys": ["customer-7"],
                "count": 90.0,
            }
        ]

    def test_are_not_switched_on(self, aws, allowed):
        aws.answers["dynamodb:DescribeContributorInsights"] = {
            "ContributorInsightsStatus": "DISABLED"
        }

        plan = aws.prepare(allowed).plan

        assert "not enabled" in plan.evidence["contributor_insights"]
        assert "hot_keys" not in plan.evidence

    @pytest.mark.parametrize(
        "call", ["dynamodb:DescribeContributorInsights", "cloudwatch:GetInsightRuleReport"]
    )
    @pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
    def test_that_cannot_be_read_do_not_stop_the_run(self, aws, allowed, call, code):
        aws.answers[call] = code

        plan = aws.prepare(allowed).plan

        assert plan.decision is Decision.HAND_OVER
        assert plan.evidence["contributor_insights"].startswith("not readable: ")


class TestBumpCapacity:
    def test_raises_table_and_index_in_one_call(self, aws, plan):
        change = aws.bump(plan)

        assert aws.writes() == (10, 14)
        assert aws.calls.count("dynamodb:UpdateTable") == 1
        assert [(c.after, c.already_applied) for c in change.calls] == [
            ({"WriteCapacityUnits": 10, "index/by-day/WriteCapacityUnits": 14}, False)
        ]
        assert change.applied_at == NOON

    def test_leaves_read_capacity_alone(self, aws, plan):
        aws.bump(plan)

        parts = aws.tables.read("orders").table_and_indexes
        assert [p.read_capacity_units for p in parts] == [4, 6]

    def test_a_second_time_changes_nothing(self, aws, plan):
        aws.bump(plan)
        aws.calls.clear()

        change = aws.bump(plan)

        assert [c.already_applied for c in change.calls] == [True]
        assert "dynamodb:UpdateTable" not in aws.calls

    def test_raises_the_minimum_where_auto_scaling_rules(self, aws, scaled_plan):
        aws.bump(scaled_plan)

        assert [t.bounds for t in aws.targets.read(["table/orders"])] == [
            {"MinCapacity": 10, "MaxCapacity": 50}
        ]
        # The simulation does not lift capacity; we must not do it in Auto Scaling's place.
        assert aws.writes() == (5, 14)

    def test_finishes_after_a_crash_between_two_calls(self, aws, scaled_plan):
        aws.bump(dataclasses.replace(scaled_plan, calls=scaled_plan.calls[:1]))

        change = aws.bump(scaled_plan)

        assert [c.already_applied for c in change.calls] == [True, False]
        assert aws.targets.read(["table/orders"])[0].min_capacity == 10

    def test_refuses_a_table_that_someone_else_has_changed(self, aws, plan):
        aws.dynamodb.update_table(
            TableName="orders",
            ProvisionedThroughput={"ReadCapacityUnits": 4, "WriteCapacityUnits": 90},
        )

        with pytest.raises(ConcurrentChangeError):
            aws.bump(plan)

        assert aws.writes() == (90, 7)

    def test_a_table_that_is_gone_was_changed_by_someone_else(self, aws, plan):
        aws.dynamodb.delete_table(TableName="orders")

        with pytest.raises(ConcurrentChangeError):
            aws.bump(plan)

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("LimitExceededException", ChangeFailedError),
            ("ValidationException", ChangeFailedError),
            ("ResourceInUseException", ResourceBusyError),
            ("ThrottlingException", ThrottledError),
            ("InternalServerError", ThrottledError),
            ("AccessDeniedException", ClientError),
        ],
    )
    def test_aws_refuses(self, aws, plan, code, expected):
        aws.answers["dynamodb:UpdateTable"] = code

        with pytest.raises(expected):
            aws.bump(plan)

        assert aws.writes() == (5, 7)

    def test_switches_to_on_demand_and_back(self, aws, run):
        aws.throttle(NOON - 2 * MINUTE, 12)
        limits = {**run.limits, "max_capacity_units": 5}
        plan = aws.prepare(
            dataclasses.replace(run, limits=limits, options={"allow_on_demand": True})
        ).plan

        aws.bump(plan)
        switched = aws.tables.read("orders")
        settled = aws.check(run, plan)
        aws.roll_back(plan)

        assert switched.billing_mode == "PAY_PER_REQUEST"
        assert settled.verdict is Verdict.PASSED
        assert aws.tables.read("orders").billing_mode == "PROVISIONED"
        assert aws.writes() == (5, 7)


class TestCheckTable:
    def test_passes_with_the_planned_values(self, aws, run, plan):
        aws.bump(plan)

        assert aws.check(run, plan).verdict is Verdict.PASSED

    def test_waits_for_the_planned_values_even_if_active(self, aws, run, plan):
        found = aws.check(run, plan)

        assert found.verdict is Verdict.PENDING
        assert "WriteCapacityUnits is 5, wanted 10" in found.reason

    def test_waits_for_an_index(self, aws, run, plan):
        aws.bump(plan)
        table = aws.dynamodb.describe_table(TableName="orders")
        table["Table"]["GlobalSecondaryIndexes"][0]["IndexStatus"] = "UPDATING"
        aws.answers["dynamodb:DescribeTable"] = table

        found = aws.check(run, plan)

        assert (found.verdict, found.reason) == (Verdict.PENDING, "index by-day is UPDATING")

    def test_waits_for_auto_scaling_to_lift_the_capacity(self, aws, run, scaled_plan):
        aws.bump(scaled_plan)
        before = aws.check(run, scaled_plan)
        aws.dynamodb.update_table(
            TableName="orders",
            ProvisionedThroughput={"ReadCapacityUnits": 4, "WriteCapacityUnits": 10},
        )

        assert before.verdict is Verdict.PENDING
        assert aws.check(run, scaled_plan).verdict is Verdict.PASSED

    def test_fails_at_the_last_look(self, aws, run, plan):
        assert aws.check(run, plan, LAST).verdict is Verdict.FAILED

    def test_a_table_that_is_gone(self, aws, run, plan):
        aws.dynamodb.delete_table(TableName="orders")

        with pytest.raises(ConcurrentChangeError):
            aws.check(run, plan)


class TestVerify:
    @pytest.fixture
    def change(self, aws, plan) -> Change:
        return aws.bump(plan)

    def traffic(self, aws, minutes, *, value=60.0, name="ConsumedWriteCapacityUnits", index=None):
        for minute in minutes:
            aws.put(name, NOON + minute * MINUTE, value, index=index)

    def test_five_calm_minutes_with_traffic(self, aws, run, plan, change):
        self.traffic(aws, range(5))

        found = aws.verify(run, plan, change, NOON + 5 * MINUTE)

        assert found.verdict is Verdict.PASSED
        assert found.reason == "nothing throttled in 5 min, traffic in 5 of 5 periods"

    def test_four_minutes_are_too_early(self, aws, run, plan, change):
        self.traffic(aws, range(5))

        found = aws.verify(run, plan, change, NOON + timedelta(minutes=4, seconds=59))

        assert found.verdict is Verdict.PENDING

    def test_a_period_that_began_before_the_change_does_not_count(self, aws, run, plan):
        change = aws.bump(plan, NOON + timedelta(seconds=1))
        self.traffic(aws, range(7))

        early = aws.verify(run, plan, change, NOON + 5 * MINUTE)
        later = aws.verify(run, plan, change, NOON + 6 * MINUTE)

        assert (early.verdict, later.verdict) == (Verdict.PENDING, Verdict.PASSED)

    def test_right_after_the_change_nothing_is_known(self, aws, run, plan, change):
        found = aws.verify(run, plan, change, NOON + timedelta(seconds=10))

        assert found.verdict is Verdict.PENDING
        assert "cloudwatch:GetMetricData" not in aws.calls

    def test_throttling_before_the_window_is_forgiven(self, aws, run, plan, change):
        aws.throttle(NOON, 5)
        self.traffic(aws, range(6))

        early = aws.verify(run, plan, change, NOON + 5 * MINUTE)
        later = aws.verify(run, plan, change, NOON + 6 * MINUTE)

        assert (early.verdict, later.verdict) == (Verdict.PENDING, Verdict.PASSED)

    @pytest.mark.parametrize("index", [None, "by-day"])
    @pytest.mark.parametrize("name", ["ReadThrottleEvents", "WriteThrottleEvents"])
    def test_throttling_of_table_or_index_fails_at_the_last_look(
        self, aws, run, plan, change, name, index
    ):
        self.traffic(aws, range(5))
        aws.put(name, NOON + 3 * MINUTE, 2, index=index)

        early = aws.verify(run, plan, change, NOON + 5 * MINUTE)
        late = aws.verify(run, plan, change, NOON + 5 * MINUTE, LAST)

        assert (early.verdict, late.verdict) == (Verdict.PENDING, Verdict.FAILED)
        assert late.checks[0].observed == 2.0

    def test_silence_is_not_healing(self, aws, run, plan, change):
        early = aws.verify(run, plan, change, NOON + 5 * MINUTE)
        late = aws.verify(run, plan, change, NOON + 5 * MINUTE, LAST)

        assert (early.verdict, late.verdict) == (Verdict.PENDING, Verdict.INCONCLUSIVE)

    def test_too_few_periods_with_traffic(self, aws, run, plan, change):
        self.traffic(aws, [0, 2])

        late = aws.verify(run, plan, change, NOON + 5 * MINUTE, LAST)

        assert late.verdict is Verdict.INCONCLUSIVE

    def test_reads_say_nothing_about_throttled_writes(self, aws, run, plan, change):
        self.traffic(aws, range(5), name="ConsumedReadCapacityUnits")

        late = aws.verify(run, plan, change, NOON + 5 * MINUTE, LAST)

        assert late.verdict is Verdict.INCONCLUSIVE

    def test_an_index_says_nothing_about_its_throttled_table(self, aws, run, plan, change):
        self.traffic(aws, range(5), index="by-day")

        late = aws.verify(run, plan, change, NOON + 5 * MINUTE, LAST)

        assert late.verdict is Verdict.INCONCLUSIVE

    def test_living_on_burst_capacity_is_not_healed(self, aws, run, plan, change):
        self.traffic(aws, range(5), value=600.0)

        late = aws.verify(run, plan, change, NOON + 5 * MINUTE, LAST)

        # 10 writes a second of 10.
        assert late.verdict is Verdict.FAILED
        assert late.checks[2].observed == 100.0

    def test_an_undo_passes_with_the_old_values(self, aws, run, undo, plan, change):
        early = aws.verify(undo, inverse(plan), change, NOON)
        late = aws.verify(undo, inverse(plan), change, NOON, LAST)
        aws.roll_back(plan)

        back = aws.verify(undo, inverse(plan), change, NOON)

        assert (early.verdict, late.verdict) == (Verdict.PENDING, Verdict.FAILED)
        assert back.verdict is Verdict.PASSED

    def test_a_table_that_is_gone(self, aws, run, plan, change):
        aws.dynamodb.delete_table(TableName="orders")

        with pytest.raises(ConcurrentChangeError):
            aws.verify(run, plan, change, NOON + 5 * MINUTE)

    def test_without_a_change_the_start_of_the_execution_counts(self, aws, run, plan):
        aws.throttle(NOON - MINUTE, 5)
        self.traffic(aws, range(5))

        assert aws.verify(run, plan, None, NOON + 5 * MINUTE).verdict is Verdict.PASSED


class TestWatchHold:
    """The change was at noon, the run was verified at 12:06 by the periods 12:01 to 12:05."""

    NOW = NOON + 11 * MINUTE

    @pytest.fixture
    def change(self, aws, plan) -> Change:
        return aws.bump(plan)

    @pytest.fixture
    def _traffic(self, aws):
        for minute in range(11):
            aws.put("ConsumedWriteCapacityUnits", NOON + minute * MINUTE, 60.0)

    @pytest.mark.usefixtures("_traffic")
    def test_calm(self, aws, run, plan, change):
        found = aws.hold(run, plan, change, self.NOW)

        assert found.verdict is Verdict.PASSED
        assert found.reason == "nothing throttled in 10 min, traffic in 5 of 5 periods"

    @pytest.mark.usefixtures("_traffic")
    def test_throttled_again(self, aws, run, plan, change):
        aws.throttle(NOON + 8 * MINUTE, 1)

        assert aws.hold(run, plan, change, self.NOW).verdict is Verdict.FAILED

    @pytest.mark.usefixtures("_traffic")
    def test_throttling_that_cloudwatch_told_too_late_for_the_look_before(
        self, aws, run, plan, change
    ):
        aws.throttle(NOON + 5 * MINUTE, 1)

        assert aws.hold(run, plan, change, self.NOW).verdict is Verdict.FAILED

    @pytest.mark.usefixtures("_traffic")
    def test_throttling_before_the_verified_window_is_forgiven(self, aws, run, plan, change):
        aws.throttle(NOON, 5)

        assert aws.hold(run, plan, change, self.NOW).verdict is Verdict.PASSED

    def test_traffic_from_before_the_last_look_does_not_count(self, aws, run, plan, change):
        for minute in range(6):
            aws.put("ConsumedWriteCapacityUnits", NOON + minute * MINUTE, 60.0)

        assert aws.hold(run, plan, change, self.NOW).verdict is Verdict.INCONCLUSIVE

    def test_a_short_interval_needs_no_more_samples_than_it_has_periods(
        self, aws, run, plan, change
    ):
        aws.put("ConsumedWriteCapacityUnits", NOON + 10 * MINUTE, 60.0)
        short = dataclasses.replace(run, limits={**run.limits, "hold_interval_seconds": 60})

        assert aws.hold(short, plan, change, self.NOW).verdict is Verdict.PASSED

    def test_a_busy_time_without_throttling_is_calm(self, aws, run, plan, change):
        for minute in range(6, 11):
            aws.put("ConsumedWriteCapacityUnits", NOON + minute * MINUTE, 1_500.0)

        assert aws.hold(run, plan, change, self.NOW).verdict is Verdict.PASSED

    def test_a_table_that_is_gone_says_nothing(self, aws, run, plan, change):
        aws.dynamodb.delete_table(TableName="orders")

        assert aws.hold(run, plan, change, self.NOW).verdict is Verdict.INCONCLUSIVE


class TestCheckUndo:
    def test_allows_what_recent_consumption_fits(self, aws, undo, plan):
        aws.bump(plan)
        aws.put("ConsumedWriteCapacityUnits", NOON - 2 * MINUTE, 210)

        aws.check_undo(undo, inverse(plan))  # 3.5 of 5 a second are 70 %

        assert (
            "dynamodb:UpdateTable" not in aws.calls[aws.calls.index("cloudwatch:GetMetricData") :]
        )

    def test_refuses_when_the_old_capacity_would_be_too_tight(self, aws, undo, plan):
        aws.bump(plan)
        aws.put("ConsumedWriteCapacityUnits", NOON - 2 * MINUTE, 216)

        with pytest.raises(PrerequisiteNotMetError) as caught:
            aws.check_undo(undo, inverse(plan))

        assert "table write uses 3.6 units/s, 5 would be left" in str(caught.value)

    def test_older_consumption_does_not_count(self, aws, undo, plan):
        aws.bump(plan)
        aws.put("ConsumedWriteCapacityUnits", NOON - 17 * MINUTE, 216)

        aws.check_undo(undo, inverse(plan))

        assert aws.writes() == (10, 14)

    def test_refuses_when_the_decreases_of_the_day_are_used_up(self, aws, undo, plan):
        aws.bump(plan)
        table = aws.dynamodb.describe_table(TableName="orders")
        table["Table"]["ProvisionedThroughput"]["NumberOfDecreasesToday"] = 4
        aws.answers["dynamodb:DescribeTable"] = table

        with pytest.raises(PrerequisiteNotMetError) as caught:
            aws.check_undo(undo, inverse(plan))

        assert "lowered 4 times today" in str(caught.value)

    def test_waits_for_an_update_that_is_under_way(self, aws, undo, plan):
        table = aws.dynamodb.describe_table(TableName="orders")
        table["Table"]["TableStatus"] = "UPDATING"
        aws.answers["dynamodb:DescribeTable"] = table

        with pytest.raises(ResourceBusyError):
            aws.check_undo(undo, inverse(plan))

    def test_a_table_that_is_gone(self, aws, undo, plan):
        aws.dynamodb.delete_table(TableName="orders")

        with pytest.raises(TargetNotFoundError):
            aws.check_undo(undo, inverse(plan))


class TestRollBack:
    def test_restores_what_was_there(self, aws, plan):
        aws.bump(plan)

        change = aws.roll_back(plan)

        assert aws.writes() == (5, 7)
        assert [c.after for c in change.calls] == [
            {"WriteCapacityUnits": 5, "index/by-day/WriteCapacityUnits": 7}
        ]

    def test_restores_scaling_bounds_too(self, aws, scaled_plan):
        aws.bump(scaled_plan)

        aws.roll_back(scaled_plan)

        assert aws.targets.read(["table/orders"])[0].bounds == {
            "MinCapacity": 5,
            "MaxCapacity": 50,
        }
        assert aws.writes() == (5, 7)

    def test_leaves_a_call_that_was_not_made(self, aws, scaled_plan):
        aws.bump(dataclasses.replace(scaled_plan, calls=scaled_plan.calls[:1]))

        change = aws.roll_back(scaled_plan)

        assert [c.api for c in change.calls] == ["dynamodb:UpdateTable"]

    def test_a_second_time_changes_nothing(self, aws, plan):
        aws.bump(plan)
        aws.roll_back(plan)
        aws.calls.clear()

        assert aws.roll_back(plan).calls == []
        assert "dynamodb:UpdateTable" not in aws.calls

    def test_a_refused_decrease_is_a_failed_rollback(self, aws, plan):
        aws.bump(plan)
        aws.answers["dynamodb:UpdateTable"] = "LimitExceededException"

        with pytest.raises(RollbackFailedError):
            aws.roll_back(plan)

    def test_a_busy_table_is_tried_again(self, aws, plan):
        aws.bump(plan)
        aws.answers["dynamodb:UpdateTable"] = "ResourceInUseException"

        with pytest.raises(ResourceBusyError):
            aws.roll_back(plan)

    def test_a_table_that_is_gone_cannot_be_restored(self, aws, plan):
        aws.dynamodb.delete_table(TableName="orders")

        with pytest.raises(RollbackFailedError):
            aws.roll_back(plan)


class TestDeclaredCalls:
    """`calls` is what the roles are made of: no more and no less than what is really called."""

    def declared(self, name: str) -> list[str]:
        return sorted(steps_of(steps)[name].calls)

    def made(self, aws) -> list[str]:
        return sorted(set(aws.calls))

    def test_prepare(self, aws, run):
        aws.throttle(NOON - 2 * MINUTE, 12, cause="KeyRangeThroughput")
        aws.answers["dynamodb:DescribeContributorInsights"] = TestHotKeys.RULES
        aws.answers["cloudwatch:GetInsightRuleReport"] = TestHotKeys.REPORT
        aws.calls.clear()

        aws.prepare(dataclasses.replace(run, options={"allow_contributor_insights": True}))

        assert self.made(aws) == self.declared("prepare")

    def test_bump_capacity(self, aws, scaled_plan):
        aws.bump(scaled_plan)

        assert self.made(aws) == self.declared("bump_capacity")

    def test_check_table(self, aws, run, plan):
        aws.check(run, plan)

        assert self.made(aws) == self.declared("check_table")

    def test_verify(self, aws, run, undo, plan):
        aws.verify(undo, inverse(plan), None, NOON)
        aws.verify(run, plan, None, NOON + 5 * MINUTE)

        assert self.made(aws) == self.declared("verify")

    def test_watch_hold(self, aws, run, plan):
        aws.hold(run, plan, None, NOON + 5 * MINUTE)

        assert self.made(aws) == self.declared("watch_hold")

    def test_check_undo(self, aws, undo, plan):
        aws.check_undo(undo, inverse(plan))

        assert self.made(aws) == self.declared("check_undo")

    def test_roll_back(self, aws, scaled_plan):
        aws.bump(scaled_plan)
        aws.calls.clear()

        aws.roll_back(scaled_plan)

        assert self.made(aws) == self.declared("roll_back")

    def test_every_step_is_covered_here(self):
        covered = {n.removeprefix("test_") for n in dir(self) if n.startswith("test_")}

        assert set(steps_of(steps)) == covered - {"every_step_is_covered_here"}


def test_planned_calls_have_a_resource(scaled_plan):
    apis = {api for resource in steps.RESOURCES for api in resource.apis}

    assert apis == {"dynamodb:UpdateTable", "application-autoscaling:RegisterScalableTarget"}
    assert {call.api for call in scaled_plan.calls} == apis

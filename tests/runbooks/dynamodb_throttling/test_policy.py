"""Decisions of dynamodb_throttling, cause by cause, and what must hold for all of them."""

import dataclasses
import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.remediation.contracts import Decision, Plan, PlannedCall, Verdict, decode, encode
from lambdas.remediation.errors import PrerequisiteNotMetError
from lambdas.remediation.resources.dynamodb_table import TableDescription, TableOrIndex
from lambdas.remediation.resources.scalable_target import ScalableTarget
from lambdas.runbooks.dynamodb_throttling.policy import (
    Access,
    Calm,
    Cause,
    Situation,
    Usage,
    decide,
    duration,
    judge,
    new_units,
    throttled_in,
    undo_obstacles,
    unsettled,
    utilization_percent,
)
from lambdas.runbooks.dynamodb_throttling.runbook import DynamoDbThrottlingLimits

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders"
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LIMITS = DynamoDbThrottlingLimits()

TABLE = TableDescription(
    table_name="orders",
    table_arn=ARN,
    billing_mode="PROVISIONED",
    table_and_indexes=(
        TableOrIndex(read_capacity_units=4, write_capacity_units=5),
        TableOrIndex(index_name="by-day", read_capacity_units=6, write_capacity_units=7),
    ),
)
ON_DEMAND = TableDescription(
    table_name="orders",
    table_arn=ARN,
    billing_mode="PAY_PER_REQUEST",
    table_and_indexes=(
        TableOrIndex(max_read_request_units=40, max_write_request_units=50),
        TableOrIndex(index_name="by-day", max_write_request_units=30),
    ),
)


def throttled(
    access: Access, cause: Cause, count: float = 120, *, index: str | None = None, used: float = 0
) -> Usage:
    return Usage(
        index_name=index,
        access=access,
        throttle_events=count,
        by_cause={cause: count},
        consumed_per_second=used,
    )


WRITES = throttled(Access.WRITE, Cause.PROVISIONED)
READS = throttled(Access.READ, Cause.PROVISIONED)


def situation(*usage: Usage, table: TableDescription = TABLE, **overrides) -> Situation:
    given_values = {"table": table, "usage": usage, "limits": LIMITS, "now": NOW, **overrides}
    return Situation(**given_values)


def capacity(read: int, write: int) -> TableDescription:
    parts = tuple(
        dataclasses.replace(p, read_capacity_units=read, write_capacity_units=write)
        for p in TABLE.table_and_indexes
    )
    return dataclasses.replace(TABLE, table_and_indexes=parts)


def scaled(dimension: str, minimum: int, maximum: int, **overrides) -> ScalableTarget:
    resource = "table/orders/index/by-day" if ":index:" in dimension else "table/orders"
    return ScalableTarget(
        resource_id=resource,
        scalable_dimension=dimension,
        min_capacity=minimum,
        max_capacity=maximum,
        **overrides,
    )


TABLE_WRITES = "dynamodb:table:WriteCapacityUnits"
INDEX_WRITES = "dynamodb:index:WriteCapacityUnits"


class TestNewUnits:
    @pytest.mark.parametrize(
        ("old", "used", "ceiling", "expected"),
        [
            (5, 0.0, 4_000, 10),  # growth
            (5, 40.0, 4_000, 86),  # 40 * 1.5 / 0.7 = 85.7
            (10, 14.0, 4_000, 30),  # 14 * 1.5 / 0.7 = 30, no rounding error on top
            (3_000, 0.0, 4_000, 4_000),  # ceiling
            (4_000, 9_000.0, 4_000, 4_000),  # at the ceiling
            (5_000, 0.0, 4_000, 5_000),  # above it already: never lower
        ],
    )
    def test_growth_or_consumption_up_to_the_ceiling(self, old, used, ceiling, expected):
        assert new_units(old, used, ceiling, LIMITS) == expected

    def test_growth_is_a_limit(self):
        limits = DynamoDbThrottlingLimits(capacity_growth_percent=110)

        assert new_units(1, 0, 4_000, limits) == 2
        assert new_units(100, 0, 4_000, limits) == 110

    @given(
        old=st.integers(1, 40_000),
        used=st.floats(0, 100_000),
        ceiling=st.integers(1, 40_000),
        growth=st.integers(110, 1_000),
        utilization=st.integers(20, 90),
    )
    def test_never_lower_never_over_the_ceiling_and_enough(
        self, old, used, ceiling, growth, utilization
    ):
        limits = DynamoDbThrottlingLimits(
            capacity_growth_percent=growth, target_utilization_percent=utilization
        )

        new = new_units(old, used, ceiling, limits)

        assert new >= old
        assert new <= max(old, ceiling)
        assert new > old or old >= ceiling
        rounded = Fraction(round(used * 1_000), 1_000)
        wanted = max(
            math.ceil(Fraction(old * growth, 100)),
            math.ceil(rounded * Fraction(3, 2) / Fraction(utilization, 100)),
        )
        assert new == wanted or (new == max(old, ceiling) and new <= wanted)


class TestProvisioned:
    def test_write_throttling_raises_table_and_index_in_one_call(self):
        plan = decide(situation(WRITES))

        assert plan.decision is Decision.CHANGE
        assert plan.calls == [
            PlannedCall(
                api="dynamodb:UpdateTable",
                resource=ARN,
                arguments={
                    "TableName": "orders",
                    "ProvisionedThroughput": {"ReadCapacityUnits": 4, "WriteCapacityUnits": 10},
                    "GlobalSecondaryIndexUpdates": [
                        {
                            "Update": {
                                "IndexName": "by-day",
                                "ProvisionedThroughput": {
                                    "ReadCapacityUnits": 6,
                                    "WriteCapacityUnits": 14,
                                },
                            }
                        }
                    ],
                },
                before={"WriteCapacityUnits": 5, "index/by-day/WriteCapacityUnits": 7},
                after={"WriteCapacityUnits": 10, "index/by-day/WriteCapacityUnits": 14},
            )
        ]

    def test_reason_is_a_short_sentence_with_the_numbers(self):
        plan = decide(situation(WRITES))

        assert plan.reason == (
            "120 throttle events in 15 min from provisioned capacity. "
            "Raise table write 5 to 10, index by-day write 7 to 14."
        )

    def test_a_throttled_index_takes_the_writes_of_its_table_along(self):
        plan = decide(situation(throttled(Access.WRITE, Cause.PROVISIONED, index="by-day")))

        assert plan.calls[0].after == {
            "WriteCapacityUnits": 10,
            "index/by-day/WriteCapacityUnits": 14,
        }

    def test_read_throttling_raises_only_what_was_throttled(self):
        plan = decide(situation(throttled(Access.READ, Cause.PROVISIONED, index="by-day")))

        assert [c.after for c in plan.calls] == [{"index/by-day/ReadCapacityUnits": 12}]

    def test_reads_and_writes_together(self):
        plan = decide(situation(READS, WRITES))

        assert plan.calls[0].after == {
            "ReadCapacityUnits": 8,
            "WriteCapacityUnits": 10,
            "index/by-day/WriteCapacityUnits": 14,
        }

    def test_consumption_of_each_part_counts_by_itself(self):
        index = Usage(index_name="by-day", access=Access.WRITE, consumed_per_second=40)

        plan = decide(situation(WRITES, index))

        assert plan.calls[0].after["index/by-day/WriteCapacityUnits"] == 86

    def test_throttling_without_a_cause_counts_as_provisioned(self):
        older_region = Usage(access=Access.WRITE, throttle_events=3)

        plan = decide(situation(older_region))

        assert plan.evidence["cause"] == "ProvisionedThroughput"
        assert plan.decision is Decision.CHANGE

    def test_the_request_lowers_the_ceiling(self):
        plan = decide(situation(WRITES, requested_ceiling=8))

        assert plan.calls[0].after == {
            "WriteCapacityUnits": 8,
            "index/by-day/WriteCapacityUnits": 8,
        }

    def test_the_request_cannot_lift_the_ceiling(self):
        limits = DynamoDbThrottlingLimits(max_capacity_units=9)

        plan = decide(situation(WRITES, limits=limits, requested_ceiling=100))

        assert plan.calls[0].after == {
            "WriteCapacityUnits": 9,
            "index/by-day/WriteCapacityUnits": 9,
        }

    def test_a_part_above_the_ceiling_stays(self):
        plan = decide(situation(WRITES, requested_ceiling=6))

        assert plan.calls[0].after == {"WriteCapacityUnits": 6}

    def test_raising_only_what_was_not_throttled_helps_nobody(self):
        index = throttled(Access.WRITE, Cause.PROVISIONED, index="by-day")

        plan = decide(situation(index, requested_ceiling=6))

        assert plan.decision is Decision.HAND_OVER
        assert plan.calls == []
        assert "ceiling of 6" in plan.reason

    def test_hands_over_if_the_table_is_on_demand_by_now(self):
        plan = decide(situation(WRITES, table=ON_DEMAND))

        assert plan.decision is Decision.HAND_OVER


class TestOnDemandSwitch:
    FULL = capacity(4_000, 4_000)

    def test_is_off_by_default(self):
        plan = decide(situation(WRITES, table=self.FULL))

        assert plan.decision is Decision.HAND_OVER
        assert plan.reason == (
            "120 throttle events in 15 min from provisioned capacity. Capacity is at its ceiling "
            "of 4000, and it stays provisioned: the option allow_on_demand is off. "
            "Raise the ceiling, or lower the load."
        )

    def test_records_every_capacity_for_the_way_back(self):
        plan = decide(situation(WRITES, table=self.FULL, allow_on_demand=True))

        (call,) = plan.calls
        assert call.arguments == {"TableName": "orders", "BillingMode": "PAY_PER_REQUEST"}
        assert call.before == {
            "BillingMode": "PROVISIONED",
            "ReadCapacityUnits": 4_000,
            "WriteCapacityUnits": 4_000,
            "index/by-day/ReadCapacityUnits": 4_000,
            "index/by-day/WriteCapacityUnits": 4_000,
        }
        assert call.after == {
            "BillingMode": "PAY_PER_REQUEST",
            "ReadCapacityUnits": None,
            "WriteCapacityUnits": None,
            "index/by-day/ReadCapacityUnits": None,
            "index/by-day/WriteCapacityUnits": None,
        }

    def test_is_the_last_resort(self):
        plan = decide(situation(WRITES, allow_on_demand=True))

        assert "BillingMode" not in plan.calls[0].after

    @pytest.mark.parametrize(
        ("ago", "decision"),
        [
            (timedelta(hours=23, minutes=59), Decision.HAND_OVER),
            (timedelta(hours=24), Decision.CHANGE),
        ],
    )
    def test_waits_until_the_quota_surely_allows_it(self, ago, decision):
        table = dataclasses.replace(self.FULL, last_update_to_pay_per_request_at=NOW - ago)

        assert decide(situation(WRITES, table=table, allow_on_demand=True)).decision is decision

    def test_a_requested_ceiling_rules_it_out(self):
        plan = decide(
            situation(WRITES, table=self.FULL, allow_on_demand=True, requested_ceiling=4_000)
        )

        assert plan.decision is Decision.HAND_OVER

    def test_a_global_table_keeps_its_scaling(self):
        table = dataclasses.replace(self.FULL, replica_regions=("eu-west-1",))

        plan = decide(situation(WRITES, table=table, allow_on_demand=True))

        assert plan.decision is Decision.HAND_OVER


class TestAutoScaling:
    def test_raises_the_minimum_instead_of_the_table(self):
        targets = (scaled(TABLE_WRITES, 2, 8), scaled(INDEX_WRITES, 7, 100))

        plan = decide(situation(WRITES, targets=targets))

        assert [(c.api, c.resource, c.before, c.after) for c in plan.calls] == [
            (
                "application-autoscaling:RegisterScalableTarget",
                "table/orders|dynamodb:table:WriteCapacityUnits|dynamodb",
                {"MinCapacity": 2, "MaxCapacity": 8},
                {"MinCapacity": 10, "MaxCapacity": 10},
            ),
            (
                "application-autoscaling:RegisterScalableTarget",
                "table/orders/index/by-day|dynamodb:index:WriteCapacityUnits|dynamodb",
                {"MinCapacity": 7, "MaxCapacity": 100},
                {"MinCapacity": 14, "MaxCapacity": 100},
            ),
        ]
        assert plan.calls[0].arguments == {
            "ServiceNamespace": "dynamodb",
            "ResourceId": "table/orders",
            "ScalableDimension": "dynamodb:table:WriteCapacityUnits",
            "MinCapacity": 10,
            "MaxCapacity": 10,
        }

    def test_some_dimensions_scaled_gives_both_kinds_of_calls_table_first(self):
        plan = decide(situation(WRITES, targets=(scaled(INDEX_WRITES, 7, 100),)))

        assert [(c.api, c.after) for c in plan.calls] == [
            ("dynamodb:UpdateTable", {"WriteCapacityUnits": 10}),
            (
                "application-autoscaling:RegisterScalableTarget",
                {"MinCapacity": 14, "MaxCapacity": 100},
            ),
        ]

    def test_scaling_of_the_other_dimension_does_not_matter(self):
        targets = (scaled("dynamodb:table:ReadCapacityUnits", 1, 100),)

        plan = decide(situation(WRITES, targets=targets))

        assert [c.api for c in plan.calls] == ["dynamodb:UpdateTable"]

    def test_a_minimum_that_is_still_being_reached_is_the_old_value(self):
        plan = decide(situation(WRITES, targets=(scaled(TABLE_WRITES, 20, 100),)))

        assert {"MinCapacity": 40, "MaxCapacity": 100} in [c.after for c in plan.calls]

    def test_a_maximum_above_the_ceiling_stays_and_the_minimum_keeps_to_it(self):
        targets = (scaled(TABLE_WRITES, 2, 9_000), scaled(INDEX_WRITES, 7, 7))

        plan = decide(situation(WRITES, targets=targets, requested_ceiling=8))

        assert [c.after for c in plan.calls] == [
            {"MinCapacity": 8, "MaxCapacity": 9_000},
            {"MinCapacity": 8, "MaxCapacity": 8},
        ]

    def test_suspended_scaling_was_meant_by_someone(self):
        targets = (scaled(TABLE_WRITES, 2, 8, scaling_out_suspended=True),)

        plan = decide(situation(WRITES, targets=targets))

        assert plan.decision is Decision.HAND_OVER
        assert "suspended for table write" in plan.reason

    def test_suspended_scaling_of_what_was_not_throttled_is_left_alone(self):
        targets = (scaled(INDEX_WRITES, 7, 100, scaling_out_suspended=True),)

        plan = decide(situation(WRITES, targets=targets))

        assert [c.after for c in plan.calls] == [{"WriteCapacityUnits": 10}]


class TestOnDemandMaximum:
    def test_raises_the_maximum_of_table_and_index(self):
        used = throttled(Access.WRITE, Cause.ON_DEMAND_MAXIMUM)

        plan = decide(situation(used, table=ON_DEMAND))

        (call,) = plan.calls
        assert (call.before, call.after) == (
            {"MaxWriteRequestUnits": 50, "index/by-day/MaxWriteRequestUnits": 30},
            {"MaxWriteRequestUnits": 100, "index/by-day/MaxWriteRequestUnits": 60},
        )
        assert call.arguments["OnDemandThroughput"] == {
            "MaxReadRequestUnits": 40,
            "MaxWriteRequestUnits": 100,
        }

    def test_reads_and_writes_have_ceilings_of_their_own(self):
        limits = DynamoDbThrottlingLimits(max_read_request_units=44, max_write_request_units=55)
        usage = [throttled(access, Cause.ON_DEMAND_MAXIMUM) for access in Access]

        plan = decide(situation(*usage, table=ON_DEMAND, limits=limits))

        assert plan.calls[0].after == {
            "MaxReadRequestUnits": 44,
            "MaxWriteRequestUnits": 55,
            "index/by-day/MaxWriteRequestUnits": 55,
        }

    def test_at_the_ceiling_a_person_has_to_decide(self):
        limits = DynamoDbThrottlingLimits(max_write_request_units=50)
        used = throttled(Access.WRITE, Cause.ON_DEMAND_MAXIMUM)

        plan = decide(situation(used, table=ON_DEMAND, limits=limits))

        assert plan.decision is Decision.HAND_OVER

    def test_a_part_without_a_maximum_gets_none(self):
        used = throttled(Access.READ, Cause.ON_DEMAND_MAXIMUM, index="by-day")

        plan = decide(situation(used, table=ON_DEMAND))

        assert plan.decision is Decision.HAND_OVER

    def test_hands_over_if_the_table_is_provisioned_by_now(self):
        plan = decide(situation(throttled(Access.WRITE, Cause.ON_DEMAND_MAXIMUM)))

        assert plan.decision is Decision.HAND_OVER


class TestNoRemedy:
    def test_a_hot_key_range_is_handed_over_with_evidence(self):
        plan = decide(situation(throttled(Access.READ, Cause.KEY_RANGE, 9, index="by-day", used=2)))

        assert plan.decision is Decision.HAND_OVER
        assert plan.reason == (
            "9 throttle events in 15 min from a hot key range. "
            "More capacity does not help one hot partition: spread or cache the busiest keys."
        )
        assert plan.evidence == {
            "cause": "KeyRangeThroughput",
            "throttle_events": {"KeyRangeThroughput": 9},
            "look_back_seconds": 900,
            "throttled": [
                {
                    "index_name": "by-day",
                    "access": "Read",
                    "throttle_events": {"KeyRangeThroughput": 9},
                    "consumed_per_second": 2,
                }
            ],
        }

    def test_the_accounts_limit_needs_a_quota_request(self):
        plan = decide(situation(throttled(Access.READ, Cause.ACCOUNT_LIMIT)))

        assert plan.decision is Decision.HAND_OVER
        assert "quota" in plan.reason

    def test_on_demand_throttling_without_a_cause_is_not_guessed(self):
        plan = decide(situation(Usage(access=Access.READ, throttle_events=3), table=ON_DEMAND))

        assert plan.decision is Decision.HAND_OVER
        assert plan.evidence["cause"] == "Unknown"

    def test_no_throttling_is_refused_with_the_numbers(self):
        quiet = Usage(access=Access.READ, consumed_per_second=3.25)

        with pytest.raises(PrerequisiteNotMetError) as caught:
            decide(situation(quiet))

        assert str(caught.value) == (
            "table orders: nothing throttled in the last 15 min (table and 1 indexes: 0 read and "
            "0 write throttle events; busiest period 3.2 reads/s, 0.0 writes/s), so there is "
            "nothing to raise"
        )


class TestMixtures:
    def test_the_larger_part_decides_and_the_rest_is_named(self):
        usage = Usage(
            access=Access.WRITE,
            throttle_events=120,
            by_cause={Cause.PROVISIONED: 100, Cause.KEY_RANGE: 20},
        )

        plan = decide(situation(usage))

        assert plan.decision is Decision.CHANGE
        assert plan.reason.startswith(
            "100 throttle events in 15 min from provisioned capacity (also 20 from a hot key range)"
        )

    def test_mostly_hot_keys_is_handed_over(self):
        usage = Usage(
            access=Access.WRITE,
            throttle_events=120,
            by_cause={Cause.PROVISIONED: 20, Cause.KEY_RANGE: 100},
        )

        assert decide(situation(usage)).decision is Decision.HAND_OVER

    def test_events_of_table_and_indexes_add_up(self):
        usage = [
            throttled(Access.WRITE, Cause.KEY_RANGE, 50),
            throttled(Access.WRITE, Cause.PROVISIONED, 30),
            throttled(Access.READ, Cause.PROVISIONED, 30, index="by-day"),
        ]

        assert decide(situation(*usage)).evidence["cause"] == "ProvisionedThroughput"

    @pytest.mark.parametrize(
        "other", [Cause.ON_DEMAND_MAXIMUM, Cause.KEY_RANGE, Cause.ACCOUNT_LIMIT]
    )
    def test_between_equals_the_one_with_a_remedy_comes_first(self, other):
        usage = [throttled(Access.WRITE, other, 10), throttled(Access.READ, Cause.PROVISIONED, 10)]

        assert decide(situation(*usage)).evidence["cause"] == "ProvisionedThroughput"

    def test_only_what_the_cause_throttled_is_raised(self):
        usage = [
            throttled(Access.WRITE, Cause.KEY_RANGE, 10),
            throttled(Access.READ, Cause.PROVISIONED, 30),
        ]

        assert decide(situation(*usage)).calls[0].after == {"ReadCapacityUnits": 8}


def test_evidence_tells_what_was_throttled():
    plan = decide(situation(throttled(Access.READ, Cause.PROVISIONED, index="by-day"), WRITES))

    assert throttled_in(plan.evidence) == {("by-day", Access.READ), (None, Access.WRITE)}


# --- What holds for every plan ---

units = st.integers(1, 6_000)


@st.composite
def situations(draw) -> Situation:
    names = [None, *draw(st.lists(st.sampled_from(["one", "two", "three"]), unique=True))]
    on_demand = draw(st.booleans())
    parts, usage, targets = [], [], []
    for name in names:
        one = {}
        for access in Access:
            if on_demand:
                one[f"max_{access.value.lower()}_request_units"] = draw(st.none() | units)
            else:
                one[f"{access.value.lower()}_capacity_units"] = draw(units)
                if draw(st.booleans()):
                    minimum = draw(units)
                    kind = "table" if name is None else "index"
                    targets.append(
                        ScalableTarget(
                            resource_id="table/orders" + (f"/index/{name}" if name else ""),
                            scalable_dimension=f"dynamodb:{kind}:{access.value}CapacityUnits",
                            min_capacity=minimum,
                            max_capacity=minimum + draw(st.integers(0, 6_000)),
                            scaling_out_suspended=draw(st.booleans()),
                        )
                    )
            by_cause = draw(
                st.dictionaries(
                    st.sampled_from([c for c in Cause if c is not Cause.UNKNOWN]),
                    st.integers(0, 1_000),
                )
            )
            usage.append(
                Usage(
                    index_name=name,
                    access=access,
                    throttle_events=sum(by_cause.values()) or draw(st.integers(0, 50)),
                    by_cause=by_cause,
                    consumed_per_second=draw(st.floats(0, 8_000)),
                )
            )
        parts.append(TableOrIndex(index_name=name, **one))
    return Situation(
        table=TableDescription(
            table_name="orders",
            table_arn=ARN,
            billing_mode="PAY_PER_REQUEST" if on_demand else "PROVISIONED",
            table_and_indexes=tuple(parts),
        ),
        targets=tuple(targets),
        usage=tuple(usage),
        limits=LIMITS,
        requested_ceiling=draw(st.none() | units),
        allow_on_demand=draw(st.booleans()),
        now=NOW,
    )


def plan_of(one: Situation) -> Plan:
    try:
        return decide(one)
    except PrerequisiteNotMetError:
        return Plan(decision=Decision.HAND_OVER, reason="nothing throttled")


@given(one=situations())
def test_never_lowers_and_never_passes_the_ceiling(one):
    ceiling = min(4_000, one.requested_ceiling or 4_000)

    for call in plan_of(one).calls:
        if call.after.get("BillingMode") == "PAY_PER_REQUEST":
            continue
        for key, new in call.after.items():
            assert new >= call.before[key]
            assert new == call.before[key] or new <= ceiling


@given(one=situations())
def test_a_change_changes_something_and_a_hand_over_nothing(one):
    plan = plan_of(one)

    assert (plan.decision is Decision.CHANGE) == bool(plan.calls)
    assert all(c.before != c.after and c.before.keys() == c.after.keys() for c in plan.calls)
    assert all(c.reversible for c in plan.calls)


@given(one=situations())
def test_auto_scaling_and_the_table_are_never_changed_for_the_same_setting(one):
    calls = plan_of(one).calls
    ruled = {
        (t.resource_id.partition("/index/")[2], t.scalable_dimension.rpartition(":")[2])
        for t in one.targets
    }

    direct = {
        (key.split("/")[1] if "/" in key else "", key.rpartition("/")[2])
        for c in calls
        if c.api == "dynamodb:UpdateTable" and "BillingMode" not in c.after
        for key in c.after
    }
    assert not ruled & direct
    assert sum(c.api == "dynamodb:UpdateTable" for c in calls) <= 1


@given(one=situations())
def test_writes_of_table_and_indexes_go_up_together(one):
    plan = plan_of(one)
    raised = {
        key
        for c in plan.calls
        if c.api == "dynamodb:UpdateTable" and "BillingMode" not in c.after
        for key in c.after
        if key.endswith("WriteCapacityUnits")
    }
    if not raised:
        return
    ceiling = min(4_000, one.requested_ceiling or 4_000)
    ruled = {t.resource_id for t in one.targets if "Write" in t.scalable_dimension}
    expected = {
        part.key("WriteCapacityUnits")
        for part in one.table.table_and_indexes
        if part.write_capacity_units < ceiling
        and "table/orders" + (f"/index/{part.index_name}" if part.index_name else "") not in ruled
    }
    assert raised == expected


@given(one=situations())
def test_the_inverse_restores_what_was_there(one):
    now = one.table.settings()
    bounds = {t.resource: t.bounds for t in one.targets}
    calls = plan_of(one).calls
    for call in calls:
        (now if call.api == "dynamodb:UpdateTable" else bounds[call.resource]).update(call.after)
    for call in reversed(calls):
        back = call.inverse()
        place = now if call.api == "dynamodb:UpdateTable" else bounds[call.resource]
        assert {k: place[k] for k in back.before} == back.before
        place.update(back.after)

    assert now == one.table.settings()
    assert bounds == {t.resource: t.bounds for t in one.targets}


@given(one=situations())
def test_a_plan_survives_its_record_and_its_hash_leaves_measurements_out(one):
    plan = plan_of(one)
    moved = dataclasses.replace(plan, evidence={"throttle_events": 1})

    assert decode(Plan, encode(plan)) == plan
    assert moved.hash("r", ARN) == plan.hash("r", ARN)


class TestUnsettled:
    RAISED = capacity(4, 10)
    (CALL,) = decide(situation(WRITES)).calls

    def test_values_still_to_come(self):
        assert unsettled([self.CALL], TABLE, ()) == [
            "WriteCapacityUnits is 5, wanted 10",
            "index/by-day/WriteCapacityUnits is 7, wanted 14",
        ]

    def test_all_there(self):
        parts = (
            TableOrIndex(read_capacity_units=4, write_capacity_units=10),
            TableOrIndex(index_name="by-day", read_capacity_units=6, write_capacity_units=14),
        )
        table = dataclasses.replace(TABLE, table_and_indexes=parts)

        assert unsettled([self.CALL], table, ()) == []

    def test_an_index_that_is_being_updated(self):
        parts = (
            TABLE.table_and_indexes[0],
            dataclasses.replace(TABLE.table_and_indexes[1], status="UPDATING"),
        )
        table = dataclasses.replace(TABLE, table_and_indexes=parts)

        assert unsettled([], table, ()) == ["index by-day is UPDATING"]

    def test_auto_scaling_has_to_lift_the_capacity(self):
        plan = decide(situation(WRITES, targets=(scaled(TABLE_WRITES, 5, 50),)))
        register = plan.calls[-1]
        target = scaled(TABLE_WRITES, 10, 50)

        assert unsettled([register], TABLE, (target,)) == [
            "WriteCapacityUnits is 5, Auto Scaling has not lifted it yet"
        ]
        assert unsettled([register], capacity(4, 10), (target,)) == []
        assert unsettled([register], capacity(4, 10), (scaled(TABLE_WRITES, 5, 50),)) == [
            "MinCapacity is 5, wanted 10"
        ]

    def test_a_scalable_target_that_is_gone(self):
        plan = decide(situation(WRITES, targets=(scaled(TABLE_WRITES, 5, 50),)))

        assert unsettled(plan.calls[-1:], TABLE, ()) == [
            "scalable target table/orders|dynamodb:table:WriteCapacityUnits|dynamodb is gone"
        ]


class TestJudge:
    CALM = Calm(
        throttle_events=0,
        periods=5,
        wanted_periods=5,
        period_seconds=60,
        samples=5,
        minimum_samples=3,
        utilization_percent=42.0,
    )

    @pytest.mark.parametrize(
        ("overrides", "early", "late"),
        [
            ({}, Verdict.PASSED, Verdict.PASSED),
            ({"samples": 3}, Verdict.PASSED, Verdict.PASSED),
            ({"utilization_percent": None}, Verdict.PASSED, Verdict.PASSED),
            ({"throttle_events": 1}, Verdict.PENDING, Verdict.FAILED),
            ({"throttle_events": 1, "samples": 0}, Verdict.PENDING, Verdict.FAILED),
            ({"utilization_percent": 100.0}, Verdict.PENDING, Verdict.FAILED),
            ({"samples": 2}, Verdict.PENDING, Verdict.INCONCLUSIVE),
            ({"samples": 0}, Verdict.PENDING, Verdict.INCONCLUSIVE),
            ({"periods": 4}, Verdict.PENDING, Verdict.INCONCLUSIVE),
        ],
    )
    def test_verdict(self, overrides, early, late):
        calm = dataclasses.replace(self.CALM, **overrides)

        assert judge(calm, final=False).verdict is early
        assert judge(calm, final=True).verdict is late

    def test_reason_has_the_numbers(self):
        calm = dataclasses.replace(self.CALM, throttle_events=7, samples=4)

        assert judge(calm, final=True).reason == (
            "7 throttle events in 5 min, traffic in 4 of 5 periods"
        )

    def test_checks_show_observed_and_threshold(self):
        calm = dataclasses.replace(self.CALM, throttle_events=7, samples=2)

        found = {
            c.name: (c.observed, c.threshold, c.samples, c.passed)
            for c in judge(calm, final=True).checks
        }

        assert found == {
            "throttle_events": (7.0, 0.0, 5, False),
            "periods_with_traffic": (2.0, 3.0, 5, False),
            "utilization_percent": (42.0, 100.0, 5, True),
        }


def test_utilization_is_the_highest_of_table_and_indexes():
    consumed = {(None, Access.WRITE): 300.0, ("by-day", Access.READ): 1_080.0}

    # 300 units in 300 s of 5 a second are 20 %; 1080 of 6 a second are 60 %.
    assert utilization_percent(TABLE, consumed, seconds=300) == pytest.approx(60.0)
    assert utilization_percent(ON_DEMAND, consumed, seconds=300) is None
    assert utilization_percent(TABLE, consumed, seconds=0) is None


class TestUndo:
    (CALL,) = decide(situation(WRITES)).calls
    BACK = CALL.inverse()
    RAISED = capacity(6, 14)

    def obstacles(self, *usage: Usage, table=RAISED, calls=(BACK,)) -> list[str]:
        return undo_obstacles(calls, table, usage, LIMITS)

    def test_safe_when_consumption_fits(self):
        assert self.obstacles(Usage(access=Access.WRITE, consumed_per_second=3.5)) == []

    def test_consumption_above_the_share_of_the_lower_capacity(self):
        assert self.obstacles(Usage(access=Access.WRITE, consumed_per_second=3.6)) == [
            "table write uses 3.6 units/s, 5 would be left and may be used to 70 % (3.5)"
        ]

    def test_consumption_of_an_index(self):
        used = Usage(index_name="by-day", access=Access.WRITE, consumed_per_second=5)

        assert self.obstacles(used) == [
            "index by-day write uses 5.0 units/s, 7 would be left and may be used to 70 % (4.9)"
        ]

    def test_reads_do_not_matter_to_a_call_about_writes(self):
        assert self.obstacles(Usage(access=Access.READ, consumed_per_second=900)) == []

    @pytest.mark.parametrize(
        ("done", "safe"), [(None, True), (0, True), (3, True), (4, False), (9, False)]
    )
    def test_decreases_are_rationed(self, done, safe):
        parts = (
            dataclasses.replace(self.RAISED.table_and_indexes[0], number_of_decreases_today=done),
            self.RAISED.table_and_indexes[1],
        )
        table = dataclasses.replace(self.RAISED, table_and_indexes=parts)

        assert (self.obstacles(table=table) == []) is safe

    def test_an_index_has_decreases_of_its_own(self):
        parts = (
            self.RAISED.table_and_indexes[0],
            dataclasses.replace(self.RAISED.table_and_indexes[1], number_of_decreases_today=4),
        )
        table = dataclasses.replace(self.RAISED, table_and_indexes=parts)

        assert self.obstacles(table=table) == [
            "index by-day was lowered 4 times today (UTC), 4 are allowed: undo tomorrow"
        ]

    def test_raising_is_not_rationed(self):
        parts = tuple(
            dataclasses.replace(p, number_of_decreases_today=9) for p in TABLE.table_and_indexes
        )
        table = dataclasses.replace(TABLE, table_and_indexes=parts)

        assert self.obstacles(table=table, calls=(self.CALL,)) == []

    def test_back_from_on_demand_needs_room_in_the_old_capacity(self):
        full = TestOnDemandSwitch.FULL
        (switch,) = decide(situation(WRITES, table=full, allow_on_demand=True)).calls
        used = Usage(index_name="by-day", access=Access.READ, consumed_per_second=2_801)

        assert self.obstacles(table=ON_DEMAND, calls=(switch.inverse(),)) == []
        assert self.obstacles(used, table=ON_DEMAND, calls=(switch.inverse(),)) == [
            "index by-day read uses 2801.0 units/s, 4000 would be left and may be used to "
            "70 % (2800.0)"
        ]

    def test_back_from_on_demand_needs_a_capacity_for_every_index(self):
        full = TestOnDemandSwitch.FULL
        (switch,) = decide(situation(WRITES, table=full, allow_on_demand=True)).calls
        table = dataclasses.replace(
            ON_DEMAND,
            table_and_indexes=(*ON_DEMAND.table_and_indexes, TableOrIndex(index_name="new")),
        )

        assert self.obstacles(table=table, calls=(switch.inverse(),)) == [
            "index new has no capacity to go back to: switch the billing mode by hand"
        ]

    def test_a_lower_on_demand_maximum_needs_room_too(self):
        (call,) = decide(
            situation(throttled(Access.WRITE, Cause.ON_DEMAND_MAXIMUM), table=ON_DEMAND)
        ).calls
        used = Usage(access=Access.WRITE, consumed_per_second=36)

        assert self.obstacles(used, table=ON_DEMAND, calls=(call.inverse(),)) == [
            "table write uses 36.0 units/s, 50 would be left and may be used to 70 % (35.0)"
        ]

    def test_a_lower_scaling_maximum_needs_room_too(self):
        plan = decide(situation(WRITES, targets=(scaled(TABLE_WRITES, 5, 8),)))
        back = plan.calls[-1].inverse()

        assert (
            self.obstacles(Usage(access=Access.WRITE, consumed_per_second=5.6), calls=(back,)) == []
        )
        assert self.obstacles(
            Usage(access=Access.WRITE, consumed_per_second=5.7), calls=(back,)
        ) == ["table write maximum uses 5.7 units/s, 8 would be left and may be used to 70 % (5.6)"]


def test_durations_for_people():
    assert [duration(s) for s in (5, 60, 90, 900)] == ["5 s", "1 min", "90 s", "15 min"]

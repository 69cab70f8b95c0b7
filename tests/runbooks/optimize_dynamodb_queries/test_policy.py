"""Decisions of optimize_dynamodb_queries: what is refused and why, and what counts as there."""

import dataclasses

import pytest

from lambdas.remediation.contracts import Decision, Plan, Verdict, Verification, decode, encode
from lambdas.remediation.errors import (
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
)
from lambdas.remediation.resources.contributor_insights import Insights
from lambdas.remediation.resources.table_indexes import Index, IndexedTable, definition
from lambdas.remediation.resources.table_requests import Requests
from lambdas.runbooks.optimize_dynamodb_queries.policy import (
    Situation,
    decide,
    index_to_delete,
    judge,
    with_report,
)
from lambdas.runbooks.optimize_dynamodb_queries.runbook import (
    InsightsSetting,
    KeyType,
    NewIndex,
    OptimizeDynamoDbQueriesLimits,
    OptimizeDynamoDbQueriesParameters,
)

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
CAPACITY = {"ProvisionedThroughput": {"ReadCapacityUnits": 7, "WriteCapacityUnits": 9}}
TABLE = IndexedTable(
    table_name="orders",
    table_arn=ARN,
    status="ACTIVE",
    attribute_types={"id": "S", "day": "N"},
    indexes={"by-day": Index(definition=definition({"day": "N"}))},
    throughput=CAPACITY,
)
OWNER = NewIndex(index_name="by-owner", partition_key="owner", partition_key_type=KeyType.S)
WANTED = definition({"owner": "S"})
BEFORE = {"milliseconds": {"Query": 12.5}, "read_units_per_second": 3.0}
REPORT = {"requests": BEFORE, "throttled_keys": "read in observe mode only"}
THROTTLED = {"insights": InsightsSetting.THROTTLED_KEYS, "show_keys": True}


def situation(
    *,
    index: NewIndex | None = None,
    insights: InsightsSetting | None = None,
    show_keys: bool | None = None,
    found: Insights | None = None,
    **overrides,
) -> Situation:
    """What is asked for, and in `found` the insights that are there."""
    values = {
        "table": TABLE,
        "insights": found or Insights(mode="OFF"),
        "asked": OptimizeDynamoDbQueriesParameters(
            index=index, insights=insights, show_keys=show_keys
        ),
        "limits": OptimizeDynamoDbQueriesLimits(),
        "report": REPORT,
        **overrides,
    }
    return Situation(**values)


def table(**overrides) -> IndexedTable:
    return dataclasses.replace(TABLE, **overrides)


def refusal(**asked) -> str:
    with pytest.raises((InvalidRequestError, PrerequisiteNotMetError)) as caught:
        decide(situation(**asked))
    # Whoever typed it is shown an input that works; nobody else is.
    assert isinstance(caught.value, InvalidRequestError) == str(caught.value).startswith(
        "parameters"
    )
    return str(caught.value)


def index(**fields) -> NewIndex:
    return dataclasses.replace(OWNER, **fields)


class TestNothingAskedFor:
    def test_observe_gives_the_report(self):
        keys = [{"key_sha256": "0123456789abcdef", "throttled": 12.0}]

        plan = decide(situation(observing=True, report={**REPORT, "throttled_keys": keys}))

        assert (plan.decision, plan.calls) == (Decision.HAND_OVER, [])
        assert plan.reason == (
            "Table orders: Query 12.5 ms, 3 read units/s; most throttled keys (digests): "
            "0123456789abcdef 12 times. Nothing to change was asked for."
        )

    def test_a_table_without_traffic_says_so(self):
        quiet = {"milliseconds": {}, "read_units_per_second": 0.0}

        plan = decide(situation(observing=True, report={**REPORT, "requests": quiet}))

        assert "no queries, 0 read units/s" in plan.reason

    def test_any_other_mode_is_refused(self):
        assert refusal().startswith("parameters: nothing to change is asked for; set ")


class TestInsights:
    def test_are_switched_on_with_consent(self):
        plan = decide(situation(**THROTTLED))

        (call,) = plan.calls
        assert (call.api, call.resource) == ("dynamodb:UpdateContributorInsights", ARN)
        assert call.before == {"ContributorInsights": "OFF"}
        assert call.after == {"ContributorInsights": "THROTTLED_KEYS"}
        assert plan.reason == (
            "Switch Contributor Insights of orders from OFF to THROTTLED_KEYS. Keys appear in "
            "CloudWatch as they are: parameters.show_keys allows it."
        )

    @pytest.mark.parametrize("consent", [None, False])
    def test_are_refused_without_consent(self, consent):
        text = refusal(insights=InsightsSetting.THROTTLED_KEYS, show_keys=consent)

        assert text.startswith("parameters.show_keys: ")
        assert "may be personal data; set it to true if that is allowed" in text

    def test_are_switched_off_without_consent(self):
        found = Insights(mode="ACCESSED_AND_THROTTLED_KEYS")

        plan = decide(situation(insights=InsightsSetting.OFF, found=found))

        assert plan.calls[0].after == {"ContributorInsights": "OFF"}
        assert plan.reason.endswith("from ACCESSED_AND_THROTTLED_KEYS to OFF.")

    def test_are_not_switched_while_dynamodb_is_at_it(self):
        with pytest.raises(ResourceBusyError):
            decide(situation(**THROTTLED, found=Insights(mode="OFF", settled=False)))

    def test_as_asked_already_there_is_nothing_to_do(self):
        text = refusal(insights=InsightsSetting.OFF)

        assert text == "nothing to do: table orders is as parameters asks already"


class TestIndex:
    def test_holds_keys_only_and_has_the_capacity_of_the_table(self):
        plan = decide(situation(index=OWNER))

        (call,) = plan.calls
        assert (call.api, call.resource) == ("dynamodb:UpdateTable", ARN)
        assert (call.before, call.after) == (
            {"index/by-owner": None},
            {"index/by-owner": WANTED},
        )
        assert call.arguments == {
            "TableName": "orders",
            "AttributeDefinitions": [{"AttributeName": "owner", "AttributeType": "S"}],
            "GlobalSecondaryIndexUpdates": [
                {
                    "Create": {
                        "IndexName": "by-owner",
                        "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
                        "Projection": {"ProjectionType": "KEYS_ONLY"},
                        **CAPACITY,
                    }
                }
            ],
        }
        assert plan.reason == (
            "Create index by-owner (owner S HASH; KEYS_ONLY) on orders; it costs storage and "
            "capacity of its own, and the table's template does not know it."
        )

    def test_with_a_sort_key_and_named_attributes(self):
        asked = index(sort_key="day", sort_key_type=KeyType.N, include=["title", "colour"])

        (call,) = decide(situation(index=asked)).calls

        assert call.after == {
            "index/by-owner": {
                "keys": ["owner S HASH", "day N RANGE"],
                "projection": "INCLUDE",
                "included": ["colour", "title"],
            }
        }

    def test_beside_insights_comes_second(self):
        plan = decide(situation(index=OWNER, **THROTTLED))

        assert [c.api for c in plan.calls] == [
            "dynamodb:UpdateContributorInsights",
            "dynamodb:UpdateTable",
        ]

    def test_one_that_is_there_is_nothing_to_do(self):
        there = table(indexes={"by-owner": Index(definition=WANTED, status="CREATING")})

        assert refusal(index=OWNER, table=there).startswith("nothing to do: ")

    def test_another_one_of_that_name_is_refused(self):
        text = refusal(index=index(index_name="by-day"))

        assert "has an index by-day that is another one (day N HASH; KEYS_ONLY)" in text
        assert text.endswith("choose another name")

    @pytest.mark.parametrize(
        ("asked", "told"),
        [
            ({"index_name": "my index"}, "index.index_name: 'my index' is not an index name"),
            ({"index_name": "ab"}, "index.index_name: 'ab' is not an index name"),
            ({"partition_key": ""}, "parameters.index: '' is not the name of an attribute"),
            ({"sort_key": "day"}, "parameters.index.sort_key: needs sort_key_type"),
            ({"sort_key_type": KeyType.N}, "parameters.index.sort_key: needs sort_key_type"),
            (
                {"sort_key": "owner", "sort_key_type": KeyType.S},
                "parameters.index.sort_key: 'owner' is the partition key already",
            ),
            (
                {"sort_key": "day", "sort_key_type": KeyType.S},
                "parameters.index: day is a key of type N in orders, not S; type N",
            ),
            ({"include": ["owner"]}, "parameters.index.include: 'owner' is in the index already"),
            ({"include": ["a", "a"]}, "parameters.index.include: 'a' is in the index already"),
            (
                {"include": [str(n) for n in range(11)]},
                "parameters.index.include: 11 attributes are above 10",
            ),
        ],
        ids=str,
    )
    def test_what_dynamodb_would_refuse_is_refused_with_the_fix(self, asked, told):
        assert told in refusal(index=index(**asked))

    def test_the_ceiling_of_the_capacity(self):
        at = OptimizeDynamoDbQueriesLimits(max_index_capacity_units=9)
        below = OptimizeDynamoDbQueriesLimits(max_index_capacity_units=8)

        assert decide(situation(index=OWNER, limits=at)).decision is Decision.CHANGE
        text = refusal(index=OWNER, limits=below)
        assert "has WriteCapacityUnits 9, and an index needs as much to keep up" in text
        assert "limits.max_index_capacity_units in platform.json" in text

    def test_on_demand_no_capacity_is_given(self):
        (call,) = decide(situation(index=OWNER, table=table(throughput={}))).calls

        (update,) = call.arguments["GlobalSecondaryIndexUpdates"]
        assert "ProvisionedThroughput" not in update["Create"]

    def test_a_table_that_scales_by_itself_is_refused(self):
        assert "an index made here would not" in refusal(index=OWNER, scales_by_itself=True)

    @pytest.mark.parametrize(
        "busy",
        [
            {"status": "UPDATING"},
            {"indexes": {"other": Index(definition=WANTED, status="CREATING")}},
        ],
        ids=["table", "index"],
    )
    def test_waits_for_an_update_of_the_table(self, busy):
        with pytest.raises(ResourceBusyError):
            decide(situation(index=OWNER, table=table(**busy)))

    def test_a_plan_survives_the_run_table(self):
        plan = decide(situation(index=OWNER, **THROTTLED))

        assert decode(Plan, encode(plan)) == plan


def inverse(plan: Plan) -> Plan:
    """The undo run's plan."""
    calls = [c.inverse() for c in reversed(plan.calls)]
    return Plan(decision=Decision.CHANGE, reason="undo", calls=calls)


class TestJudge:
    PLAN = decide(situation(index=OWNER, **THROTTLED))
    ON = Insights(mode="THROTTLED_KEYS")
    THERE = table(indexes={"by-owner": Index(definition=WANTED)})

    def verdicts(self, plan=PLAN, insights=ON, found=THERE) -> tuple[Verdict, Verdict]:
        """At an early look, and at the last one."""
        early, late = (judge(plan, insights, found, final=f).verdict for f in (False, True))
        return early, late

    def index(self, **fields) -> IndexedTable:
        return table(indexes={"by-owner": Index(definition=WANTED, **fields)})

    def test_everything_is_there(self):
        found = judge(self.PLAN, self.ON, self.THERE, final=False)

        assert found.verdict is Verdict.PASSED
        assert found.reason == (
            "Contributor Insights is THROTTLED_KEYS; index by-owner is ACTIVE, with all items"
        )
        assert [c.passed for c in found.checks] == [True, True]

    @pytest.mark.parametrize(
        "fields",
        [{"status": "CREATING", "backfilling": True}, {"backfilling": True}],
        ids=str,
    )
    def test_an_index_that_is_being_filled_is_let_go_of_not_taken_back(self, fields):
        found = self.verdicts(found=self.index(**fields))

        assert found == (Verdict.PENDING, Verdict.INCONCLUSIVE)

    def test_insights_that_are_being_switched_on(self):
        found = self.verdicts(insights=Insights(mode="THROTTLED_KEYS", settled=False))

        assert found == (Verdict.PENDING, Verdict.INCONCLUSIVE)

    def test_a_description_may_be_older_than_the_change(self):
        assert self.verdicts(insights=Insights(mode="OFF")) == (Verdict.PENDING, Verdict.FAILED)
        assert self.verdicts(found=TABLE) == (Verdict.PENDING, Verdict.FAILED)

    def test_insights_that_could_not_be_switched_on_fail_at_once(self):
        found = judge(self.PLAN, Insights(mode="OFF", failure="no role"), self.THERE, final=False)

        assert found.verdict is Verdict.FAILED
        assert found.reason.startswith(
            "Contributor Insights could not be switched on: no role; index"
        )

    def test_another_index_of_that_name_fails_at_once(self):
        other = table(indexes={"by-owner": Index(definition=definition({"owner": "N"}))})

        assert self.verdicts(found=other) == (Verdict.FAILED, Verdict.FAILED)

    def test_an_undo_passes_when_index_and_insights_are_gone(self):
        found = judge(inverse(self.PLAN), Insights(mode="OFF"), TABLE, final=False)

        assert found.verdict is Verdict.PASSED
        assert found.reason == "index by-owner is deleted; Contributor Insights is OFF"

    def test_an_undo_waits_for_an_index_that_is_being_deleted(self):
        """Failing it would have it created again."""
        found = self.verdicts(
            inverse(self.PLAN), Insights(mode="OFF"), self.index(status="DELETING")
        )

        assert found == (Verdict.PENDING, Verdict.INCONCLUSIVE)


class TestReport:
    GOOD = Verification(verdict=Verdict.PASSED, reason="done")

    def test_tells_before_and_since_and_judges_neither(self):
        since = Requests(milliseconds={"Query": 99.0}, read_units_per_second=8.25)

        found = with_report(self.GOOD, BEFORE, since)

        assert found.verdict is Verdict.PASSED
        assert found.reason == (
            "done. Before: Query 12.5 ms, 3 read units/s; since: Query 99 ms, 8.25 read units/s"
        )

    @pytest.mark.parametrize("before", [BEFORE, None])
    def test_without_a_measurement_there_is_nothing_to_tell(self, before):
        assert with_report(self.GOOD, before, None) == self.GOOD


class TestIndexToDelete:
    def test_of_an_undo_only(self):
        plan = TestJudge.PLAN

        assert index_to_delete(plan) is None
        assert index_to_delete(inverse(plan)) == "by-owner"

    def test_insights_alone_delete_none(self):
        assert index_to_delete(inverse(decide(situation(**THROTTLED)))) is None

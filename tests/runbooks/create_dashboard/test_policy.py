"""Decisions of create_dashboard: which graphs, which period, what is too large, what is good."""

import dataclasses
import json
import random

import pytest

from lambdas.remediation.contracts import Decision, Plan, Verdict, canonical_json, decode, encode
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.platform import Api, Function, Platform, Table
from lambdas.remediation.resources.dashboard import BODY, unpack
from lambdas.runbooks.create_dashboard.policy import Situation, decide, judge, period_seconds
from lambdas.runbooks.create_dashboard.widgets import body

ARN = "arn:aws:cloudwatch::123456789012:dashboard/Orders"
PLATFORM = Platform(
    name="shop",
    apis=(
        Api(api_name="orders-api", api_id="a1", stage="prod"),
        Api(api_name="web", api_id="h1", stage="$default", protocol="HTTP"),
    ),
    functions=(
        Function(function_name="orders", alias="live"),
        Function(function_name="nightly"),
    ),
    tables=(Table(table_name="Orders", indexes=("by-day",)), Table(table_name="Carts")),
)
WANTED = body(PLATFORM, region="eu-west-1", period_seconds=300)


def graphs(platform: Platform = PLATFORM) -> dict[str, dict]:
    found = body(platform, region="eu-west-1", period_seconds=300).content["widgets"]
    return {w["properties"]["title"]: w["properties"] for w in found if w["type"] == "metric"}


def situation(**overrides) -> Situation:
    values = {"dashboard_name": "Orders", "arn": ARN, "present": None, "wanted": WANTED}
    return Situation(**{**values, **overrides})


def refused(**overrides) -> str:
    with pytest.raises(PrerequisiteNotMetError) as caught:
        decide(situation(**overrides))
    return str(caught.value)


class TestBody:
    def test_two_graphs_for_each_api_function_and_table(self):
        assert list(graphs()) == [
            "orders-api prod: requests and 5XX rate",
            "orders-api prod: latency",
            "web $default: requests and 5XX rate",
            "web $default: latency",
            "orders:live: invocations, errors, throttles",
            "orders:live: duration",
            "nightly: invocations, errors, throttles",
            "nightly: duration",
            "Orders: capacity units per second",
            "Orders: throttles",
            "Carts: capacity units per second",
            "Carts: throttles",
        ]

    def test_a_rest_api_by_name_and_stage(self):
        assert graphs()["orders-api prod: requests and 5XX rate"]["metrics"] == [
            [
                "AWS/ApiGateway",
                "Count",
                "ApiName",
                "orders-api",
                "Stage",
                "prod",
                {"id": "requests"},
            ],
            [
                "AWS/ApiGateway",
                "5XXError",
                "ApiName",
                "orders-api",
                "Stage",
                "prod",
                {"id": "errors", "visible": False},
            ],
            [
                {
                    "expression": "100*FILL(errors,0)/requests",
                    "label": "5XX in percent",
                    "yAxis": "right",
                }
            ],
        ]

    def test_an_http_api_by_id_and_with_its_own_metric(self):
        metrics = graphs()["web $default: requests and 5XX rate"]["metrics"]

        assert metrics[1][:6] == ["AWS/ApiGateway", "5xx", "ApiId", "h1", "Stage", "$default"]

    def test_a_function_by_its_alias(self):
        assert graphs()["orders:live: invocations, errors, throttles"]["metrics"] == [
            ["AWS/Lambda", name, "FunctionName", "orders", "Resource", "orders:live"]
            for name in ("Invocations", "Errors", "Throttles")
        ]

    def test_a_function_without_alias_by_its_name(self):
        assert graphs()["nightly: duration"]["metrics"] == [
            ["AWS/Lambda", "Duration", "FunctionName", "nightly", {"stat": "p50"}],
            ["AWS/Lambda", "Duration", "FunctionName", "nightly", {"stat": "p95"}],
        ]

    def test_a_table_and_each_index_used_against_provisioned(self):
        metrics = graphs()["Orders: capacity units per second"]["metrics"]

        assert len(metrics) == 12
        assert metrics[9:] == [
            [
                "AWS/DynamoDB",
                "ConsumedWriteCapacityUnits",
                "TableName",
                "Orders",
                "GlobalSecondaryIndexName",
                "by-day",
                {"id": "used1write", "visible": False},
            ],
            [{"expression": "used1write/PERIOD(used1write)", "label": "by-day write used"}],
            [
                "AWS/DynamoDB",
                "ProvisionedWriteCapacityUnits",
                "TableName",
                "Orders",
                "GlobalSecondaryIndexName",
                "by-day",
                {"stat": "Average", "label": "by-day write provisioned"},
            ],
        ]

    def test_every_graph_has_region_and_period(self):
        assert {(g["region"], g["period"]) for g in graphs().values()} == {("eu-west-1", 300)}

    def test_ids_are_unique_in_a_graph(self):
        for graph in graphs().values():
            ids = [line[-1]["id"] for line in graph["metrics"] if "id" in (line[-1] or {})]
            assert len(ids) == len(set(ids))

    def test_widgets_do_not_overlap_and_stay_in_the_grid(self):
        places = {
            (x, y)
            for w in WANTED.content["widgets"]
            for x in range(w["x"], w["x"] + w["width"])
            for y in range(w["y"], w["y"] + w["height"])
        }

        # A header of 24 x 2, and 12 graphs of 12 x 6.
        assert len(places) == 24 * 2 + 12 * 12 * 6
        assert max(x for x, _ in places) == 23

    def test_says_that_changes_by_hand_are_lost(self):
        header = WANTED.content["widgets"][0]

        assert header["type"] == "text"
        assert "is replaced by its next run" in header["properties"]["markdown"]

    def test_counts_its_metrics_without_expressions(self):
        # Of an API 4, of a function 5, of a table or an index 6.
        assert WANTED.metrics == 2 * 4 + 2 * 5 + 3 * 6

    def test_the_same_file_gives_the_same_body(self):
        again = body(PLATFORM, region="eu-west-1", period_seconds=300)

        assert canonical_json(again.content) == canonical_json(WANTED.content)


class TestPeriod:
    @pytest.mark.parametrize("asked", [60, 300, 86_400])
    def test_as_asked(self, asked):
        assert period_seconds(asked, 300) == asked

    @pytest.mark.parametrize(("default", "expected"), [(300, 300), (90, 60), (3_601, 3_600)])
    def test_default(self, default, expected):
        assert period_seconds(None, default) == expected

    @pytest.mark.parametrize("asked", [0, -60, 61, 30, 86_460])
    def test_any_other_is_refused(self, asked):
        with pytest.raises(InvalidRequestError) as caught:
            period_seconds(asked, 300)

        assert str(caught.value) == (
            f"parameters.period_seconds: {asked} is not a multiple of 60 from 60 to 86400; give "
            "for example 300"
        )


class TestDecide:
    def test_creates_what_is_not_there(self):
        plan = decide(situation())

        assert plan.decision is Decision.CHANGE
        assert plan.reason == (
            "Create dashboard Orders: 12 graphs with 36 metrics of the platform file."
        )
        (call,) = plan.calls
        assert (call.api, call.resource) == ("cloudwatch:PutDashboard", ARN)
        assert call.before == {BODY: None}
        assert unpack(call.after[BODY]) == canonical_json(WANTED.content)
        assert plan.evidence["graphs"][0] == "orders-api prod: requests and 5XX rate"

    def test_replaces_what_is_there_and_keeps_it(self):
        present = '{ "widgets": [ {"type": "text"} ] }'

        plan = decide(situation(present=present))

        assert plan.reason.startswith("Replace everything in dashboard Orders: ")
        assert unpack(plan.calls[0].before[BODY]) == present

    def test_nothing_to_do_where_it_is_so_already_however_it_is_written(self):
        present = json.dumps(WANTED.content, indent=2)

        assert refused(present=present) == (
            "nothing to do: dashboard Orders shows just this already (12 graphs with 36 metrics)"
        )

    def test_a_platform_with_nothing_to_show_is_refused(self):
        empty = body(Platform(name="empty"), region="eu-west-1", period_seconds=300)

        assert refused(wanted=empty) == (
            "dashboard Orders: platform.json has no APIs, functions or tables to show"
        )

    def test_more_than_a_dashboard_holds_is_refused(self):
        wanted = dataclasses.replace(WANTED, metrics=2_501)

        assert refused(wanted=wanted) == (
            "dashboard Orders: 12 graphs with 2501 metrics are more than the 500 widgets and 2500 "
            "metrics of one dashboard"
        )

    def test_the_header_is_a_widget_too(self):
        wanted = dataclasses.replace(WANTED, titles=("t",) * 500)

        assert "more than the 500 widgets" in refused(wanted=wanted)

    def test_a_body_that_undo_could_not_put_back_is_left_alone(self):
        # Random text does not compress: 80,000 bytes of it are more than a record keeps.
        present = random.Random(0).randbytes(40_000).hex()

        message = refused(present=present)

        assert message.startswith("dashboard Orders: the present and the new body are ")
        assert "a run's record keeps at most 60000, which undo needs" in message

    def test_a_large_platform_fits(self):
        """The largest body that one dashboard takes is small enough to be recorded twice."""
        large = Platform(
            name="large",
            tables=tuple(Table(table_name=f"Table-{n}", indexes=("by-day",)) for n in range(208)),
        )
        wanted = body(large, region="eu-west-1", period_seconds=300)
        before = body(large, region="eu-west-1", period_seconds=60)

        plan = decide(situation(wanted=wanted, present=canonical_json(before.content)))

        assert wanted.metrics == 2_496
        assert plan.decision is Decision.CHANGE

    def test_a_plan_survives_the_run_table(self):
        plan = decide(situation(present="{}"))

        assert decode(Plan, encode(plan)) == plan

    def test_an_approval_covers_the_body(self):
        other = body(PLATFORM, region="eu-west-1", period_seconds=60)

        assert decide(situation()).hash("create_dashboard", ARN) != decide(
            situation(wanted=other)
        ).hash("create_dashboard", ARN)


class TestJudge:
    def test_as_planned(self):
        found = judge('{"a":1}', '{ "a": 1 }', final=False)

        assert found.verdict is Verdict.PASSED
        # sha256 of {"a":1}
        assert found.reason == "the dashboard reads as planned (sha256 015abd7f5cc5)"

    def test_deleted_as_planned(self):
        found = judge(None, None, final=False)

        assert (found.verdict, found.reason) == (
            Verdict.PASSED,
            "there is no such dashboard any more",
        )

    @pytest.mark.parametrize(
        ("final", "verdict"), [(False, Verdict.PENDING), (True, Verdict.FAILED)]
    )
    def test_absent(self, final, verdict):
        found = judge("{}", None, final=final)

        assert (found.verdict, found.reason) == (verdict, "the dashboard is absent")
        assert [c.passed for c in found.checks] == [False]

    def test_still_there(self):
        found = judge(None, '{"a":1}', final=True)

        assert (found.verdict, found.reason) == (
            Verdict.FAILED,
            "the dashboard has other contents (sha256 015abd7f5cc5)",
        )

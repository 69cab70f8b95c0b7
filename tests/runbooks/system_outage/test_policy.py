"""What is tried in an outage, in which order, and when it counts as over."""

from datetime import timedelta

import pytest

from lambdas.remediation.contracts import Decision, Verdict
from lambdas.remediation.errors import PrerequisiteNotMetError
from lambdas.remediation.ledger import Release
from lambdas.remediation.resources.stack_events import StackOperation
from lambdas.runbooks.system_outage.policy import (
    FUNCTION,
    STAGE,
    TABLE,
    Answers,
    Recovery,
    Red,
    Situation,
    decide,
    judge,
)
from lambdas.runbooks.system_outage.runbook import SystemOutageLimits
from tests.conftest import NOW

LIMITS = SystemOutageLimits()


def released(minutes_ago: float | None, *, recent: bool = True) -> Release:
    since = None if minutes_ago is None else NOW - timedelta(minutes=minutes_ago)
    return Release(current="2", known=True, recent=recent, since=since)


def red(runbook: str, name: str, release: Release | None = None) -> Red:
    key = {FUNCTION: "function_name", STAGE: "api_name", TABLE: "table_name"}[runbook]
    return Red(
        runbook=runbook,
        target={key: name},
        alarm_name=f"remediation-{name}",
        since=NOW - timedelta(minutes=5),
        release=release,
    )


def situation(*found: Red, **more) -> Situation:
    return Situation(**{"red": found, "limits": LIMITS} | more)


def order(*found: Red) -> list[tuple[str, str]]:
    return [(c.runbook, *c.target.values()) for c in decide(situation(*found)).children]


# --- what is tried ---


def test_newest_release_is_tried_first_and_throttled_tables_last():
    assert order(
        red(TABLE, "orders"),
        red(FUNCTION, "cart", released(40)),
        red(STAGE, "shop", released(10)),
    ) == [(STAGE, "shop"), (FUNCTION, "cart"), (TABLE, "orders")]


def test_release_that_the_ledger_has_not_seen_is_the_newest():
    assert order(red(STAGE, "shop", released(1)), red(FUNCTION, "cart", released(None)))[0] == (
        FUNCTION,
        "cart",
    )


def test_what_was_not_released_lately_is_not_tried():
    assert order(red(FUNCTION, "cart", released(500, recent=False)), red(TABLE, "orders")) == [
        (TABLE, "orders")
    ]


def test_table_with_two_red_alarms_is_tried_once():
    assert order(red(TABLE, "orders"), red(TABLE, "orders")) == [(TABLE, "orders")]


def test_one_run_tries_no_more_than_its_limit():
    many = [red(FUNCTION, f"f{n}", released(n + 1)) for n in range(6)]
    assert order(*many) == [(FUNCTION, "f0"), (FUNCTION, "f1"), (FUNCTION, "f2")]


def test_plan_says_what_is_red_since_when_and_why_this_order():
    plan = decide(situation(red(FUNCTION, "cart", released(7)), red(TABLE, "orders")))
    assert plan.decision is Decision.DELEGATE
    assert plan.reason == (
        "Red since 12:05 UTC: cart, orders. In this order, as long as it lasts: lambda_errors on "
        "cart (released 12:03 UTC), then dynamodb_throttling on orders (throttled)."
    )
    assert plan.calls == []


# --- what is left to people ---


def test_nothing_red_is_no_outage():
    with pytest.raises(PrerequisiteNotMetError, match="no alarm of the platform is red"):
        decide(situation())


def test_unreadable_alarms_are_handed_over():
    plan = decide(situation(red=None, unknown=("alarms: ThrottledError: later",)))
    assert (plan.decision, plan.children) == (Decision.HAND_OVER, [])
    assert plan.evidence["unknown"] == ["alarms: ThrottledError: later"]


def test_nothing_is_started_beside_a_deployment():
    running = StackOperation(stack_name="Shop", status="UPDATE_IN_PROGRESS", at=NOW)
    plan = decide(situation(red(FUNCTION, "cart", released(1)), operations=(running,)))
    assert (plan.decision, plan.children) == (Decision.HAND_OVER, [])
    assert "Shop (UPDATE_IN_PROGRESS)" in plan.reason


def test_without_a_suspect_a_person_takes_over():
    plan = decide(situation(red(STAGE, "shop", released(500, recent=False))))
    assert plan.decision is Decision.HAND_OVER
    assert "no runbook has a remedy" in plan.reason


# --- is it over? ---


def recovery(*apis: Answers, periods: int = 5, **smoke: bool) -> Recovery:
    return Recovery(apis=apis, periods=periods, wanted_periods=5, smoke=smoke, limits=LIMITS)


BUSY = Answers(api_name="shop", errors=0, requests=100, samples=5)
BROKEN = Answers(api_name="shop", errors=30, requests=100, samples=5)
SILENT = Answers(api_name="shop", errors=0, requests=0, samples=0)
PROVEN = Answers(api_name="shop", errors=0, requests=0, samples=0, smoke_tested=True)


@pytest.mark.parametrize(
    ("seen", "early", "final"),
    [
        (recovery(BUSY, cart=True), Verdict.PASSED, Verdict.PASSED),
        (recovery(BUSY, BROKEN), Verdict.PENDING, Verdict.FAILED),
        (recovery(BUSY, cart=False), Verdict.PENDING, Verdict.FAILED),
        (recovery(SILENT), Verdict.PENDING, Verdict.INCONCLUSIVE),
        (recovery(PROVEN, cart=True), Verdict.PASSED, Verdict.PASSED),
        (recovery(BUSY, periods=3), Verdict.PENDING, Verdict.INCONCLUSIVE),
        (recovery(), Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE),
    ],
    ids=["all answer", "one API fails", "one function fails", "no traffic", "smoke", "early", "-"],
)
def test_over_is_what_every_api_and_every_smoke_event_shows(seen, early, final):
    assert judge(seen, final=False).verdict is early
    assert judge(seen, final=True).verdict is final


def test_verification_names_rates_and_silent_functions():
    judged = judge(recovery(BROKEN, cart=False), final=True)
    assert judged.reason == ("shop: 30 of 100 requests answered with 5XX; smoke event failed: cart")
    assert [(c.name, c.observed, c.passed) for c in judged.checks] == [
        ("shop error_rate_percent", 30.0, False),
        ("cart smoke event", 0.0, False),
    ]

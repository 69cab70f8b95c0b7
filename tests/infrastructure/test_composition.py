"""Composing envelope and runbook: every rule has a machine that breaks it."""

import copy
import dataclasses
import json

import pytest

from lambdas.remediation.platform import Platform
from lambdas.runbooks.dynamodb_throttling.runbook import RUNBOOK
from stacks.catalog import ENVELOPE, CatalogEntry, machine
from stacks.composition import CompositionError, compose, minified, timeout_seconds

LIMITS = RUNBOOK.limits_for(Platform(name="test")).as_dict()
EXAMPLE = '{"target": {"table_name": "ChatMessage-prod"}}'
RETRY = {
    "ErrorEquals": ["ThrottledError"],
    "IntervalSeconds": 2,
    "BackoffRate": 2,
    "MaxAttempts": 3,
    "MaxDelaySeconds": 5,
    "JitterStrategy": "FULL",
}
READ = {
    "Comment": "Reads.",
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke",
    "Arguments": {"FunctionName": "${ObserveFunctionArn}", "Payload": {"step": "read"}},
    "TimeoutSeconds": 35,
    "Retry": [RETRY],
    "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Finish"}],
    "Next": "Verify",
}
CHANGE = READ | {
    "Comment": "Changes.",
    "Arguments": {"FunctionName": "${ChangeFunctionArn}", "Payload": {"step": "change"}},
    "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "RollBack"}],
}
INNER = {k: v for k, v in READ.items() if k not in {"Catch", "Next"}} | {"End": True}


def own(**states):
    """A runbook's file with these states; the first one is where it starts."""
    return {"StartAt": next(iter(states)), "States": copy.deepcopy(states)}


def composed(states, *, runbook=RUNBOOK, envelope=None, limits=LIMITS):
    entry = CatalogEntry(runbook=runbook, steps_module=None, states=states)
    return compose(envelope or machine(ENVELOPE), entry, limits=limits, example=EXAMPLE)


def parallel(**inner):
    """A Parallel with one branch, and the Pass that takes its result."""
    branch = {"StartAt": next(iter(inner)), "States": inner}
    return {
        "LookTwice": {
            "Comment": "Reads side by side.",
            "Type": "Parallel",
            "Branches": [branch],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Finish"}],
            "Next": "Collect",
        },
        "Collect": {"Comment": "Takes the results.", "Type": "Pass", "Next": "Verify"},
    }


def without(state, *keys):
    return {k: v for k, v in state.items() if k not in keys}


# --- what comes out ---


def test_the_runbook_takes_the_place_of_the_first_change():
    whole = composed(own(Act=CHANGE))

    assert whole["States"]["ChooseMode"]["Default"] == "Act"
    assert whole["States"]["ChooseChange"]["Default"] == "Act"
    assert "FirstChange" not in json.dumps(whole)


def test_the_machine_starts_with_the_envelope():
    whole = composed(own(Act=CHANGE))

    assert whole["StartAt"] == "Begin"
    assert set(machine(ENVELOPE)["States"]) | {"Act"} == set(whole["States"])


def test_the_comment_shows_an_input_to_paste():
    assert composed(own(Act=CHANGE))["Comment"] == (
        'DynamoDB throttling. Start by hand with: {"target": {"table_name": "ChatMessage-prod"}}'
    )


def test_the_query_language_stands_at_the_top():
    assert composed(own(Act=CHANGE))["QueryLanguage"] == "JSONata"


def test_composing_changes_neither_file():
    envelope, states = machine(ENVELOPE), own(Act=CHANGE)
    before = copy.deepcopy((envelope, states))

    composed(states, envelope=envelope)

    assert (envelope, states) == before


def test_the_definition_has_no_spaces_between_its_parts():
    assert minified({"A": {"B": [1, 2]}}) == '{"A":{"B":[1,2]}}'


@pytest.mark.parametrize(
    "states",
    [
        own(**parallel(First=INNER)),
        own(Act=CHANGE | {"Next": "Look"}, Look=READ),
    ],
)
def test_sound_machines_are_composed(states):
    assert "TimeoutSeconds" in composed(states)


# --- the computed time-out ---

SMALL_LIMITS = {"poll_interval_seconds": 7, "poll_attempts": 4, "approval_timeout_seconds": 500}
SMALL = {
    # 65 s, and its retries wait 2 + 4 + 5 (held down by MaxDelaySeconds) = 11 s.
    "Act": CHANGE | {"TimeoutSeconds": 65},
    # 500 s from the limits, no retry.
    "Ask": without(READ, "Retry")
    | {"TimeoutSeconds": "{% $run.limits.approval_timeout_seconds %}"},
    # 4 passes of 35 s = 140 s, and its retries once = 11 s.
    "Look": READ,
    # 4 passes of at most 3 intervals of 7 s = 84 s.
    "WaitToLook": {
        "Comment": "Waits.",
        "Type": "Wait",
        "Seconds": "{% $min([$run.limits.poll_interval_seconds * $n, 21]) %}",
        "Next": "Look",
    },
    "Judge": {"Comment": "Decides.", "Type": "Choice", "Choices": [], "Default": "Look"},
}


def test_the_time_out_is_the_sum_of_the_deadlines():
    # 60 s for transitions + 65 + 11 + 500 + 140 + 11 + 84.
    assert timeout_seconds("test", SMALL, SMALL_LIMITS) == 871


def test_a_loop_may_count_checks():
    limits = {"poll_interval_seconds": 7, "poll_checks": 2, "approval_timeout_seconds": 500}

    # 60 + 65 + 11 + 500 + 2 * 35 + 11 + 2 * 21.
    assert timeout_seconds("test", SMALL, limits) == 759


def test_a_wait_without_an_interval_limit_stops_the_synth():
    states = {**SMALL, "WaitToLook": SMALL["WaitToLook"] | {"Seconds": 30}}

    with pytest.raises(CompositionError) as error:
        timeout_seconds("test", states, SMALL_LIMITS)

    assert str(error.value) == (
        "test.WaitToLook: Seconds must come from $run.limits.<loop>_interval_seconds"
    )


def test_a_loop_without_a_number_of_passes_stops_the_synth():
    limits = {"poll_interval_seconds": 7, "approval_timeout_seconds": 500}

    with pytest.raises(CompositionError) as error:
        timeout_seconds("test", SMALL, limits)

    assert str(error.value) == (
        "test.WaitToLook: the loop has no end: add the limit poll_attempts or poll_checks"
    )


# --- the rules, each broken once ---

CHILD = READ | {"Resource": "arn:aws:states:::states:startExecution.sync:2"}
BROKEN = {
    "reserved name": (own(Finish=READ), "Finish: the name of a reserved state"),
    "no comment": (own(Act=without(CHANGE, "Comment")), "Act: has no Comment"),
    "choice without default": (
        own(
            Act=CHANGE | {"Next": "Judge"},
            Judge={
                "Comment": "Decides.",
                "Type": "Choice",
                "Choices": [{"Condition": "{% true %}", "Next": "Verify"}],
            },
        ),
        "Judge: Choice without Default",
    ),
    "loop by the clock": (
        own(
            Act=CHANGE | {"Next": "Judge"},
            Judge={
                "Comment": "Decides.",
                "Type": "Choice",
                "Choices": [{"Condition": "{% $millis() > $deadline %}", "Next": "RollBack"}],
                "Default": "Verify",
            },
        ),
        "Judge: a loop counts attempts, it never compares clocks",
    ),
    "long cause": (
        own(Act=CHANGE | {"Cause": "x" * 30_001}),
        "Act: Cause is longer than 30,000 characters",
    ),
    "ends green by itself": (
        own(Act=without(CHANGE, "Next") | {"End": True}),
        "Act: ends the machine; every path leads to Finish",
    ),
    "ends red by itself": (
        own(
            Act=CHANGE | {"Next": "GiveUp"},
            GiveUp={"Comment": "Fails.", "Type": "Fail", "Error": "x", "Cause": "x"},
        ),
        "GiveUp: ends the machine; every path leads to Finish",
    ),
    "unknown next": (own(Act=CHANGE | {"Next": "Nowhere"}), "Act: goes to Nowhere, which does not"),
    "unknown catch": (
        own(Act=CHANGE | {"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Nowhere"}]}),
        "Act: goes to Nowhere, which does not exist",
    ),
    "unreachable": (own(Act=CHANGE, Lost=READ), "Lost: no path leads to it"),
    "no time-out": (
        own(Act=without(CHANGE, "TimeoutSeconds")),
        "Act: Task without TimeoutSeconds",
    ),
    "no retry": (own(Act=without(CHANGE, "Retry")), "Act: Task without Retry"),
    "retries any error of a change": (
        own(Act=CHANGE | {"Retry": [RETRY | {"ErrorEquals": ["States.ALL"]}]}),
        "Act: a changing Task must not retry States.ALL",
    ),
    "retries any failure of a change": (
        own(Act=CHANGE | {"Retry": [RETRY | {"ErrorEquals": ["States.TaskFailed"]}]}),
        "Act: a changing Task must not retry States.TaskFailed",
    ),
    "retry without jitter": (
        own(Act=CHANGE | {"Retry": [without(RETRY, "JitterStrategy")]}),
        "Act: Retry needs BackoffRate, MaxDelaySeconds and JitterStrategy",
    ),
    "no catch": (
        own(Act=without(CHANGE, "Catch")),
        "Act: the last Catch of a top-level Task must be States.ALL",
    ),
    "narrow last catch": (
        own(Act=CHANGE | {"Catch": [{"ErrorEquals": ["ThrottledError"], "Next": "Finish"}]}),
        "Act: the last Catch of a top-level Task must be States.ALL",
    ),
    "child by its error name": (
        own(
            Child=CHILD
            | {
                "Catch": [
                    {"ErrorEquals": ["rolled_back"], "Next": "Finish"},
                    {"ErrorEquals": ["States.ALL"], "Next": "Finish"},
                ]
            }
        ),
        "Child: a failed child is read from its record, never caught by its error name",
    ),
    "unknown limit": (
        own(Act=CHANGE | {"Output": "{% $run.limits.max_tables %}"}),
        "$run.limits.max_tables is not a limit of this runbook",
    ),
    "token for a number": (
        own(Act=CHANGE | {"Comment": "Waits ${Seconds}."}),
        "${Seconds}: tokens stand for ARNs and names only, in PascalCase",
    ),
    "parallel without catch": (
        own(
            **parallel(First=INNER)
            | {"LookTwice": without(parallel(First=INNER)["LookTwice"], "Catch")}
        ),
        "LookTwice: Parallel without Catch",
    ),
    "map without catch": (
        own(
            Each={
                "Comment": "Reads each.",
                "Type": "Map",
                "ItemProcessor": {"StartAt": "One", "States": {"One": INNER}},
                "Next": "Verify",
            }
        ),
        "Each: Map without Catch",
    ),
    "parallel assigns": (
        own(
            **parallel(First=INNER)
            | {"LookTwice": parallel(First=INNER)["LookTwice"] | {"Assign": {"a": 1}}}
        ),
        "LookTwice: a Parallel carries no Assign or Output; the Pass after it does",
    ),
    "branch state without comment": (
        own(**parallel(First=without(INNER, "Comment"))),
        "First: has no Comment",
    ),
    "branch changes": (
        own(**parallel(First=INNER | {"Arguments": CHANGE["Arguments"]})),
        "First: a branch must not change anything",
    ),
    "branch leaves": (
        own(**parallel(First=without(INNER, "End") | {"Next": "Finish"})),
        "First: a branch must not go to a state outside of it",
    ),
    "branch reuses a name": (
        own(**parallel(Verify=INNER)),
        "Verify: a branch must not reuse the name of a state outside of it",
    ),
    "branch assigns": (
        own(**parallel(First=INNER | {"Assign": {"change": None}})),
        "First: a branch returns by Output, it assigns nothing",
    ),
    "branch task without time-out": (
        own(**parallel(First=without(INNER, "TimeoutSeconds"))),
        "First: Task without TimeoutSeconds",
    ),
    "branch task without retry": (
        own(**parallel(First=without(INNER, "Retry"))),
        "First: Task without Retry",
    ),
}


@pytest.mark.parametrize(("states", "rule"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_stops_the_synth(states, rule):
    with pytest.raises(CompositionError) as error:
        composed(states)

    message = str(error.value)
    assert message.startswith("dynamodb_throttling")
    assert rule in message


def test_an_irreversible_runbook_keeps_what_did_not_help():
    runbook = dataclasses.replace(RUNBOOK, reversible=False, keep_when_ineffective=False)

    with pytest.raises(CompositionError) as error:
        composed(own(Act=CHANGE), runbook=runbook)

    assert "JudgeVerification: cannot roll back what is not reversible" in str(error.value)


def test_an_irreversible_runbook_never_goes_to_roll_back():
    runbook = dataclasses.replace(RUNBOOK, reversible=False, keep_when_ineffective=True)

    with pytest.raises(CompositionError) as error:
        composed(own(Act=CHANGE), runbook=runbook)

    assert "Act: goes to RollBack" in str(error.value)


@pytest.mark.parametrize("place", ["Assign", "Catch"])
def test_what_finish_reads_has_a_default_whatever_begin_did(place):
    envelope = machine(ENVELOPE)
    begin = envelope["States"]["Begin"]
    assigned = begin["Assign"] if place == "Assign" else begin["Catch"][-1]["Assign"]
    del assigned["rollback_failure"]

    with pytest.raises(CompositionError) as error:
        composed(own(Act=CHANGE), envelope=envelope)

    assert "Begin: $rollback_failure needs a default in Assign and in the Catch" in str(error.value)

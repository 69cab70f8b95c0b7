"""Composes the envelope and a runbook's own states into the machine that is deployed.

The reserved states stand once, in statemachines/envelope.asl.json. A runbook's file holds only
its own states and hands over to reserved ones by name. Pure functions: JSON in, JSON out.

The rules checked here are those that AWS enforces late or never and the local engine not at all;
each has a broken example in tests/infrastructure/test_composition.py.
"""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

from lambdas.remediation.runbook import Runbook
from stacks.catalog import CatalogEntry

State = dict[str, Any]
# Placeholder in the envelope for the first of the runbook's own states.
FIRST_CHANGE = "FirstChange"
CHANGE_TOKEN = "${ChangeFunctionArn}"  # noqa: S105 - a substitution, not a secret
TOKEN = re.compile(r"\$\{([^}]*)\}")
LIMIT = re.compile(r"\$run\.limits\.(\w+)")
WAIT_LIMIT = re.compile(r"\$run\.limits\.(\w+)_interval_seconds")
CLOCK = re.compile(r"\$(now|millis)\(|Timestamp(Equals|Less|Greater)")
# Loops wait `interval * attempt`, at most this many intervals.
LONGEST_WAIT_INTERVALS = 3
TRANSITIONS_SECONDS = 60
# Entered only by runbooks that declare children; the others need no time for them.
CHILD_STATES = {"RunChild", "ReadChild", "WaitToJoin"}
WAY_BACK_STATES = {"RollBack", "Undo"}
# Repeated for each runbook that a plan tries after another.
ROUND_STATES = CHILD_STATES | {"Verify", "WaitToVerify"}


class CompositionError(Exception):
    """A machine breaks a rule; the message names runbook, state and rule."""


def compose(envelope: State, entry: CatalogEntry, *, limits: dict[str, int], example: str) -> State:
    """The complete machine of a runbook, checked, with its computed `TimeoutSeconds`.

    Parameters
    ----------
    limits
        Limits in force; the time-out is computed from them.
    example
        JSON that the machine's comment shows for a start by hand.

    Raises
    ------
    CompositionError
        A rule is broken.
    """
    own = entry.states
    name = entry.runbook.name
    clash = sorted(set(own["States"]) & set(envelope["States"]))
    if clash:
        raise CompositionError(f"{name}.{clash[0]}: the name of a reserved state")
    states = copy.deepcopy(envelope["States"])
    states.update(copy.deepcopy(own["States"]))
    for state in states.values():
        _rename(state, FIRST_CHANGE, own["StartAt"])
    _give_time_to_go_back(states, limits)
    unknown = sorted(set(LIMIT.findall(json.dumps(states))) - set(limits))
    if unknown:
        raise CompositionError(f"{name}: $run.limits.{unknown[0]} is not a limit of this runbook")
    machine = {
        "Comment": f"{entry.runbook.title}. Start by hand with: {example}",
        "QueryLanguage": "JSONata",
        "StartAt": envelope["StartAt"],
        "TimeoutSeconds": timeout_seconds(
            name,
            {k: s for k, s in states.items() if entry.runbook.children or k not in CHILD_STATES},
            limits,
        ),
        "States": states,
    }
    for problem in problems(machine, entry.runbook, set(own["States"])):
        raise CompositionError(f"{name}.{problem}")
    return machine


def minified(machine: State) -> str:
    """Definition text for the template."""
    return json.dumps(machine, separators=(",", ":"))


def _rename(state: State, old: str, new: str) -> None:
    for holder in [state, *state.get("Choices", []), *state.get("Catch", [])]:
        for key in ("Next", "Default"):
            if holder.get(key) == old:
                holder[key] = new


def _give_time_to_go_back(states: dict[str, State], limits: dict[str, int]) -> None:
    """Put the limit `way_back_attempts`, where a runbook has it, into the retries of the way back.

    Step Functions takes no expression for `MaxAttempts`, so it cannot come from `$run.limits`.
    """
    for title in WAY_BACK_STATES & set(states):
        for retry in states[title].get("Retry", []):
            if "way_back_attempts" in limits and retry["ErrorEquals"] == ["ResourceBusyError"]:
                retry["MaxAttempts"] = limits["way_back_attempts"]


# --- the machine's time-out ---


def timeout_seconds(name: str, states: dict[str, State], limits: dict[str, int]) -> int:
    """Sum of the machine's deadlines, in seconds.

    Each Task counts its `TimeoutSeconds`, once per pass of its loop, and its longest retry waits
    once; each Wait counts its longest, once per pass; all of that once per round, where the limit
    `child_rounds` lets a plan try several runbooks one after another. A loop is recognised by its
    Wait, whose `Seconds` read `$run.limits.<loop>_interval_seconds`; its passes are
    `<loop>_attempts` or `<loop>_checks`.
    """
    total = TRANSITIONS_SECONDS
    passes: dict[str, int] = {}
    rounds = dict.fromkeys(ROUND_STATES, limits.get("child_rounds", 1))
    for title, state in states.items():
        if state["Type"] == "Wait":
            loop = _loop(name, title, state)
            count = _passes(name, title, loop, limits)
            longest = count * LONGEST_WAIT_INTERVALS * limits[f"{loop}_interval_seconds"]
            total += rounds.get(title, 1) * longest
            passes[state["Next"]] = count
    for title, state in states.items():
        if state["Type"] == "Task":
            looks = _task_seconds(state, limits) * max(1, passes.get(title, 1))
            total += rounds.get(title, 1) * (looks + _retry_seconds(state))
    return total


def _loop(name: str, title: str, state: State) -> str:
    found = WAIT_LIMIT.search(str(state.get("Seconds")))
    if not found:
        raise CompositionError(
            f"{name}.{title}: Seconds must come from $run.limits.<loop>_interval_seconds"
        )
    return found[1]


def _passes(name: str, title: str, loop: str, limits: dict[str, int]) -> int:
    for counter in (f"{loop}_attempts", f"{loop}_checks"):
        if counter in limits:
            return limits[counter]
    raise CompositionError(
        f"{name}.{title}: the loop has no end: add the limit {loop}_attempts or {loop}_checks"
    )


def _task_seconds(state: State, limits: dict[str, int]) -> int:
    given = state.get("TimeoutSeconds", 0)
    if isinstance(given, int):
        return given
    return limits[given.strip("{%} ").removeprefix("$run.limits.")]


def _retry_seconds(state: State) -> int:
    total = 0.0
    for retry in state.get("Retry", []):
        wait = float(retry["IntervalSeconds"])
        for _ in range(retry["MaxAttempts"]):
            total += min(wait, retry["MaxDelaySeconds"])
            wait *= retry["BackoffRate"]
    return int(total)


# --- the rules ---


def problems(machine: State, runbook: Runbook, own: set[str]) -> Iterator[str]:
    """Every broken rule as `State: rule`."""
    states = machine["States"]
    yield from _envelope_defaults(states)
    for title, state in states.items():
        yield from _every_state(title, state)
        if title in own and (state.get("End") or state["Type"] in {"Succeed", "Fail"}):
            yield f"{title}: ends the machine; every path leads to Finish"
        yield from _targets(title, state, states)
        if state["Type"] == "Task":
            yield from _task(title, state, top=True)
        if state["Type"] in {"Parallel", "Map"}:
            yield from _nested(title, state, set(states))
    reached = _reachable(machine)
    for title in sorted(own - reached):
        yield f"{title}: no path leads to it"
    yield from _tokens(machine)
    if not runbook.reversible and not runbook.keep_when_ineffective:
        yield "JudgeVerification: cannot roll back what is not reversible: keep_when_ineffective"
    for title in sorted(own):
        if not runbook.reversible and "RollBack" in _next_states(states[title]):
            yield f"{title}: goes to RollBack, but its runbook says it is not reversible"


def _every_state(title: str, state: State) -> Iterator[str]:
    if not state.get("Comment"):
        yield f"{title}: has no Comment"
    if state["Type"] == "Choice" and "Default" not in state:
        yield f"{title}: Choice without Default"
    if state["Type"] == "Choice" and CLOCK.search(json.dumps(state)):
        yield f"{title}: a loop counts attempts, it never compares clocks"
    cause = state.get("Cause", "")
    if isinstance(cause, str) and len(cause) > 30_000:
        yield f"{title}: Cause is longer than 30,000 characters"


def _targets(title: str, state: State, states: dict[str, State]) -> Iterator[str]:
    for target in _next_states(state):
        if target not in states:
            yield f"{title}: goes to {target}, which does not exist"


def _next_states(state: State) -> Iterator[str]:
    for holder in [state, *state.get("Choices", []), *state.get("Catch", [])]:
        for key in ("Next", "Default"):
            if key in holder:
                yield holder[key]


def _task(title: str, state: State, *, top: bool) -> Iterator[str]:
    if "TimeoutSeconds" not in state:
        yield f"{title}: Task without TimeoutSeconds"
    if not state.get("Retry"):
        yield f"{title}: Task without Retry"
    for retry in state.get("Retry", []):
        broad = {"States.ALL", "States.TaskFailed"} & set(retry["ErrorEquals"])
        if broad and CHANGE_TOKEN in json.dumps(state):
            yield f"{title}: a changing Task must not retry {sorted(broad)[0]}"
        if {"BackoffRate", "MaxDelaySeconds", "JitterStrategy"} - set(retry):
            yield f"{title}: Retry needs BackoffRate, MaxDelaySeconds and JitterStrategy"
    if not top:
        return
    catches = state.get("Catch", [])
    if not catches or catches[-1]["ErrorEquals"] != ["States.ALL"]:
        yield f"{title}: the last Catch of a top-level Task must be States.ALL"
    if ":states:startExecution" in state["Resource"]:
        caught = {e for c in catches for e in c["ErrorEquals"]}
        if caught - {"States.ALL", "States.TaskFailed"}:
            yield f"{title}: a failed child is read from its record, never caught by its error name"


def _nested(title: str, state: State, outer: set[str]) -> Iterator[str]:
    if not state.get("Catch"):
        yield f"{title}: {state['Type']} without Catch"
    if state["Type"] == "Parallel" and {"Assign", "Output"} & set(state):
        yield f"{title}: a Parallel carries no Assign or Output; the Pass after it does"
    branches = state.get("Branches") or [state.get("ItemProcessor", {})]
    for branch in branches:
        for name, inner in branch.get("States", {}).items():
            yield from _every_state(name, inner)
            if name in outer:
                yield f"{name}: a branch must not reuse the name of a state outside of it"
            if CHANGE_TOKEN in json.dumps(inner):
                yield f"{name}: a branch must not change anything"
            if set(_next_states(inner)) & outer:
                yield f"{name}: a branch must not go to a state outside of it"
            if "Assign" in inner:
                yield f"{name}: a branch returns by Output, it assigns nothing"
            if inner["Type"] == "Task":
                yield from _task(name, inner, top=False)


def _envelope_defaults(states: dict[str, State]) -> Iterator[str]:
    """Every variable any Catch or `Finish` may read exists from the start, also after a failure."""
    begin = states["Begin"]
    catch = begin["Catch"][-1]["Assign"]
    for name in re.findall(r"\$(\w+)", json.dumps(states["Finish"]["Arguments"])):
        if name in {"states"}:
            continue
        if name not in begin["Assign"] or name not in catch:
            yield f"Begin: ${name} needs a default in Assign and in the Catch"


def _reachable(machine: State) -> set[str]:
    seen: set[str] = set()
    todo = [machine["StartAt"]]
    while todo:
        title = todo.pop()
        if title in seen or title not in machine["States"]:
            continue
        seen.add(title)
        todo += _next_states(machine["States"][title])
    return seen


def _tokens(machine: State) -> Iterator[str]:
    for token in sorted(set(TOKEN.findall(json.dumps(machine["States"])))):
        if not re.fullmatch(r"[A-Z][A-Za-z]*(Arn|Name)", token):
            yield f"${{{token}}}: tokens stand for ARNs and names only, in PascalCase"

"""What holds for every runbook: each rule is one function that yields what breaks it."""

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lambdas.remediation.errors import (
    ChangeFailedError,
    InvalidRequestError,
    MutedError,
    NotAdmittedError,
    RefusedError,
    RemediationError,
    RetryableError,
    TargetNotFoundError,
)
from lambdas.remediation.life import Life
from lambdas.remediation.platform import Platform
from lambdas.remediation.request import read_request
from lambdas.remediation.step import Role, StepInfo
from stacks.catalog import ENVELOPE, CatalogEntry, machine
from stacks.runbook import composed

State = dict[str, Any]
PREFIX = "remediation"
RESERVED = frozenset(machine(ENVELOPE)["States"])
# Steps that every runbook has, and the envelope's state that performs each.
ENVELOPE_STEPS = {
    "prepare": "Prepare",
    "check_undo": "Prepare",
    "verify": "Verify",
    "watch_hold": "WatchHold",
    "roll_back": "RollBack",
}
# What cannot be taken back has no steps that do.
IRREVERSIBLE_STEPS = [s for s in ENVELOPE_STEPS if s not in {"check_undo", "roll_back"}]
# Called by the poll, between runs.
LEDGER_STEP = "current_releases"
CHANGING_STEPS = {"roll_back"}
# Where an error goes from a reserved state, whatever it is.
RESERVED_DESTINATIONS = {
    "Prepare": "Finish",
    "Verify": "JudgeVerification",
    "WatchHold": "Finish",
    "RollBack": "Finish",
}
# What a runbook's own states may write of the envelope's variables.
WRITABLE = {"change", "poll_attempt", "failure", "failed_state"}
FIRST_CHANGE_STATES, FIRST_CHANGE_FUNCTIONS = 4, 2
SECRETS = re.compile(r"passw|secret|credential|api_?key|private_?key|access_?key|token", re.I)
# Names of secrets, not secrets; and the task token, which AwaitApproval writes to the run table.
NO_SECRETS = {"secret_id", "secret_arn", ":token"}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A runbook as it is deployed on one platform."""

    entry: CatalogEntry
    machine: dict[str, Any]
    platform: Platform

    @classmethod
    def of(cls, entry: CatalogEntry, platform: Platform) -> "Subject":
        return cls(entry=entry, machine=composed(entry, platform), platform=platform)

    @property
    def states(self) -> dict[str, State]:
        return self.machine["States"]

    @property
    def own(self) -> dict[str, State]:
        return {name: s for name, s in self.states.items() if name not in RESERVED}


Rule = Callable[[Subject], Iterator[str]]


# --- states ---


def every_state_has_a_comment(subject: Subject) -> Iterator[str]:
    for name, state in every_state(subject.machine):
        if not state.get("Comment"):
            yield f"{name}: no Comment"


def every_top_level_task_is_bounded_and_caught(subject: Subject) -> Iterator[str]:
    for name, state in subject.states.items():
        for key in ("TimeoutSeconds", "Retry", "Catch"):
            if state["Type"] == "Task" and not state.get(key):
                yield f"{name}: no {key}"


def every_catch_remembers_what_failed_and_where(subject: Subject) -> Iterator[str]:
    wanted = {
        "failure": "{% $states.errorOutput %}",
        "failed_state": "{% $states.context.State.Name %}",
    }
    for name, state in subject.own.items():
        for catch in state.get("Catch", []):
            if wanted.items() - catch.get("Assign", {}).items():
                yield f"{name}: a Catch does not keep error and state"


def own_states_leave_the_envelope_its_variables(subject: Subject) -> Iterator[str]:
    reserved = set(subject.states["Begin"]["Assign"]) - WRITABLE
    for name, state in subject.own.items():
        for holder in [state, *state.get("Choices", []), *state.get("Catch", [])]:
            for variable in sorted(reserved & set(holder.get("Assign", {}))):
                yield f"{name}: assigns ${variable}, which is the envelope's"


# --- states and steps ---


def every_state_calls_a_step_of_its_function(subject: Subject) -> Iterator[str]:
    life = object.__new__(Life)
    roles = dict.fromkeys(life.observing, Role.OBSERVE) | {"undo": Role.CHANGE}
    roles |= {name: info.role for name, info in subject.entry.steps.items()}
    for name, step in called_steps(subject.states):
        if name == "RollBack" and not subject.entry.runbook.reversible:
            continue  # the envelope has it; such a run keeps its change, and goes past it
        if step not in roles:
            yield f"{name}: there is no step {step}"
        elif roles[step] is not role_of(subject.states[name]):
            yield f"{name}: {step} is a step of the {roles[step]} function"


def every_step_is_called(subject: Subject) -> Iterator[str]:
    called = {step for _, step in called_steps(subject.own)} | set(ENVELOPE_STEPS)
    if subject.entry.runbook.keeps_ledger:
        called.add(LEDGER_STEP)
    for step in sorted(set(subject.entry.steps) - called):
        yield f"{step}: no state calls it"


def every_runbook_has_the_steps_of_the_envelope(subject: Subject) -> Iterator[str]:
    needed = ENVELOPE_STEPS if subject.entry.runbook.reversible else IRREVERSIBLE_STEPS
    for step in needed:
        info = subject.entry.steps.get(step)
        role = Role.CHANGE if step in CHANGING_STEPS else Role.OBSERVE
        if info is None:
            yield f"{step}: missing"
        elif info.role is not role:
            yield f"{step}: must be a step of the {role} function"
    if subject.entry.runbook.keeps_ledger and LEDGER_STEP not in subject.entry.steps:
        yield f"{LEDGER_STEP}: missing, and the runbook keeps a ledger"


def a_state_carries_the_name_of_its_step(subject: Subject) -> Iterator[str]:
    for name, step in called_steps(subject.own):
        expected = "".join(word.capitalize() for word in step.split("_"))
        if name != expected:
            yield f"{name}: calls {step}, so its name must be {expected}"


def changing_states_say_for_which_run_and_plan(subject: Subject) -> Iterator[str]:
    wanted = {"run_id": "{% $run.id %}", "plan_hash": "{% $plan.hash %}"}
    for name, state in subject.states.items():
        if role_of(state) is Role.CHANGE and wanted.items() - payload(state).items():
            yield f"{name}: a changing state passes run_id and plan_hash"


def every_step_says_what_it_does_and_never_does(subject: Subject) -> Iterator[str]:
    for name in subject.entry.steps:
        text = inspect.getdoc(getattr(subject.entry.steps_module, name)) or ""
        summary = text.partition("\n")[0]
        if not summary.endswith(".") and not summary.endswith("?"):
            yield f"{name}: the docstring's first line is not a sentence"
        if not re.search(r"\bnever\b|changes nothing|\brefuse", text, re.I):
            yield f"{name}: the docstring does not say what the step never does"


# --- errors ---


def every_declared_error_is_caught_where_it_belongs(subject: Subject) -> Iterator[str]:
    changed = after_a_change(subject)
    for state, info in performing(subject):
        for error in info.raises:
            yield from misdirected(subject, state, info, error, changed=state in changed)


def misdirected(
    subject: Subject, name: str, info: StepInfo, error: type[RemediationError], *, changed: bool
) -> Iterator[str]:
    state = subject.states[name]
    retried = {e for retry in state.get("Retry", []) for e in retry["ErrorEquals"]}
    if issubclass(error, RetryableError) and error.__name__ not in retried:
        yield f"{name}: {error.__name__} of {info.name} is not retried"
    found = destination(state, error.__name__)
    expected = RESERVED_DESTINATIONS.get(name) or expected_destination(
        info.role, error, changed, subject.entry.runbook.reversible
    )
    if found != expected:
        yield f"{name}: {error.__name__} of {info.name} goes to {found}, not to {expected}"


def expected_destination(
    role: Role, error: type[RemediationError], changed: bool, reversible: bool
) -> str:
    """`RollBack` if something may have changed and can be taken back, else `Finish`."""
    if not reversible:
        return "Finish"
    if issubclass(error, RefusedError):
        return "RollBack" if changed else "Finish"
    return "RollBack" if changed or role is Role.CHANGE else "Finish"


def a_change_that_is_not_admitted_is_not_rolled_back(subject: Subject) -> Iterator[str]:
    changed = after_a_change(subject)
    for name, state in subject.own.items():
        if role_of(state) is Role.CHANGE and name not in changed:
            for error in (NotAdmittedError, MutedError):
                if destination(state, error.__name__) != "Finish":
                    yield f"{name}: {error.__name__} must go to Finish, nothing was changed"


def a_way_to_roll_back_says_why(subject: Subject) -> Iterator[str]:
    """A Choice keeps the reason of the look before it, or that look has raised it; see Default."""
    steps = subject.entry.steps
    raising = {
        subject.own[name].get("Next")
        for name, step in called_steps(subject.own)
        if step in steps and ChangeFailedError in steps[step].raises
    }
    for name, state in subject.own.items():
        if state["Type"] == "Choice" and state.get("Default") == "RollBack":
            told = [c for c in state["Choices"] if c["Next"] == "RollBack" and "Assign" in c]
            if not told and name not in raising:
                yield f"{name}: goes to RollBack without a failure that says why"


# --- numbers ---


def the_first_change_is_near(subject: Subject) -> Iterator[str]:
    if not subject.own:
        return  # it changes nothing itself
    path = path_to_first_change(subject)
    functions = {state["Arguments"]["FunctionName"] for state in path if role_of(state)}
    if len(path) != FIRST_CHANGE_STATES or len(functions) != FIRST_CHANGE_FUNCTIONS:
        yield f"first change after {len(path)} states and {len(functions)} functions"


def every_limit_has_bounds(subject: Subject) -> Iterator[str]:
    limits = subject.entry.runbook.limits
    in_force = subject.entry.runbook.limits_for(subject.platform).as_dict()
    for field in dataclasses.fields(limits):
        bounds = field.metadata
        if not {"minimum", "maximum", "meaning"} <= set(bounds) or not bounds["meaning"]:
            yield f"{field.name}: declare it with limit(default, minimum, maximum, meaning)"
            continue
        for value in (getattr(limits, field.name), in_force[field.name]):
            if not bounds["minimum"] <= value <= bounds["maximum"]:
                yield f"{field.name}: {value} is outside its own bounds"


# --- what people see ---


def the_comment_shows_an_input_that_works(subject: Subject) -> Iterator[str]:
    _, _, example = subject.machine["Comment"].partition("Start by hand with: ")
    try:
        request = read_request(subject.entry.runbook, subject.platform, PREFIX, json.loads(example))
    except (ValueError, InvalidRequestError, TargetNotFoundError) as error:
        yield f"the example is refused: {error}"
    else:
        if request.mode.value != "observe":
            yield "the example would change something"


def no_field_is_named_like_a_secret(subject: Subject) -> Iterator[str]:
    runbook = subject.entry.runbook
    names = {
        f.name
        for kind in (runbook.parameters, type(runbook.limits))
        for f in dataclasses.fields(kind)
    }
    names |= set(keys(subject.machine))
    for name in sorted(names - NO_SECRETS):
        if SECRETS.search(name):
            yield f"{name}: secrets never travel; pass the secret's ARN as secret_arn"


RULES: tuple[Rule, ...] = (
    every_state_has_a_comment,
    every_top_level_task_is_bounded_and_caught,
    every_catch_remembers_what_failed_and_where,
    own_states_leave_the_envelope_its_variables,
    every_state_calls_a_step_of_its_function,
    every_step_is_called,
    every_runbook_has_the_steps_of_the_envelope,
    a_state_carries_the_name_of_its_step,
    changing_states_say_for_which_run_and_plan,
    every_step_says_what_it_does_and_never_does,
    every_declared_error_is_caught_where_it_belongs,
    a_change_that_is_not_admitted_is_not_rolled_back,
    a_way_to_roll_back_says_why,
    the_first_change_is_near,
    every_limit_has_bounds,
    the_comment_shows_an_input_that_works,
    no_field_is_named_like_a_secret,
)


# --- reading a machine ---


def every_state(asl: dict[str, Any]) -> Iterator[tuple[str, State]]:
    """Every state, those in branches and iterators too."""
    for name, state in asl["States"].items():
        yield name, state
        for branch in [*state.get("Branches", []), state.get("ItemProcessor")]:
            if branch:
                yield from every_state(branch)


def payload(state: State) -> dict[str, Any]:
    return state.get("Arguments", {}).get("Payload", {})


def role_of(state: State) -> Role | None:
    """Which function a state calls, if any."""
    function = state.get("Arguments", {}).get("FunctionName")
    return {"${ObserveFunctionArn}": Role.OBSERVE, "${ChangeFunctionArn}": Role.CHANGE}.get(
        function
    )


def called_steps(states: dict[str, State]) -> Iterator[tuple[str, str]]:
    """State and step, for each state that calls a function."""
    for name, state in states.items():
        if "step" in payload(state):
            yield name, payload(state)["step"]


def performing(subject: Subject) -> Iterator[tuple[str, StepInfo]]:
    """State and step, for each step that the runbook declares."""
    steps = subject.entry.steps
    for step, name in ENVELOPE_STEPS.items():
        if step in steps:
            yield name, steps[step]
    for name, step in called_steps(subject.own):
        if step in steps:
            yield name, steps[step]


def destination(state: State, error: str) -> str | None:
    """Where the first Catch that takes an error goes."""
    for catch in state.get("Catch", []):
        if {error, "States.ALL"} & set(catch["ErrorEquals"]):
            return catch["Next"]
    return None


def successors(state: State) -> list[str]:
    """Where a state goes when nothing fails."""
    choices = [choice["Next"] for choice in state.get("Choices", [])]
    return [*choices, *(state[key] for key in ("Default", "Next") if key in state)]


def after_a_change(subject: Subject) -> set[str]:
    """Own states that run after one of the runbook's changing states."""
    todo = [
        target
        for state in subject.own.values()
        if role_of(state) is Role.CHANGE
        for target in successors(state)
    ]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in subject.own and name not in seen:
            seen.add(name)
            todo += successors(subject.own[name])
    return seen


def path_to_first_change(subject: Subject) -> list[State]:
    """States from Begin to the nearest changing state of the runbook, both included."""
    paths = [[subject.machine["StartAt"]]]
    seen: set[str] = set()
    while paths:
        path = paths.pop(0)
        name = path[-1]
        if name in seen:
            continue
        seen.add(name)
        if name in subject.own and role_of(subject.own[name]) is Role.CHANGE:
            return [subject.states[n] for n in path]
        paths += [[*path, target] for target in successors(subject.states[name])]
    return []


def keys(value: Any) -> Iterator[str]:
    """Every key of a JSON value, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)

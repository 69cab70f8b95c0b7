"""Every rule on every runbook; and for every rule, a runbook that breaks it."""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from types import ModuleType

import pytest

from lambdas.remediation.errors import (
    ChangeFailedError,
    DuplicateRunError,
    RemediationError,
    ResourceBusyError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.step import Role, step
from lambdas.remediation.targets import DynamoDbTable
from lambdas.runbooks.dynamodb_throttling.runbook import DynamoDbThrottlingLimits
from stacks.catalog import APPROVE, discover, machine
from tests.estate import rules
from tests.estate.rules import RULES, Rule, Subject

NAMES = [entry.runbook.name for entry in discover()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_holds(subjects, rule, name):
    assert list(rule(subjects[name])) == []


@pytest.mark.parametrize(
    "rule",
    [rules.every_state_has_a_comment, rules.every_top_level_task_is_bounded_and_caught],
    ids=lambda rule: rule.__name__,
)
def test_holds_for_the_approval_too(subjects, rule):
    subject = dataclasses.replace(subjects[NAMES[0]], machine=machine(APPROVE))

    assert list(rule(subject)) == []


# --- each rule broken ---


class OtherSteps:
    """A `steps` module: that of the runbook, with steps added, replaced or left out."""

    def __init__(self, subject: Subject, *, without: str = "") -> None:
        self.module = ModuleType("steps")
        self.subject = subject
        for name in subject.entry.steps:
            if name != without:
                setattr(self.module, name, getattr(subject.entry.steps_module, name))

    def add(
        self,
        name: str,
        role: Role,
        *,
        raises: Sequence[type[RemediationError]] = (),
        doc: str = "Reads; changes nothing.",
    ) -> "OtherSteps":
        def function() -> None: ...

        function.__name__, function.__doc__ = name, doc
        setattr(self.module, name, step(role, raises=raises)(function))
        return self

    def use(self) -> Subject:
        entry = dataclasses.replace(self.subject.entry, steps_module=self.module)
        return dataclasses.replace(self.subject, entry=entry)


def with_states(subject: Subject, **changes: dict | None) -> Subject:
    """The subject with states changed key by key (`None` deletes a key) or added."""
    machine = copy.deepcopy(subject.machine)
    for name, change in changes.items():
        state = machine["States"].setdefault(name, {})
        state.update(copy.deepcopy(change))
        for key in [key for key, value in state.items() if value is None]:
            del state[key]
    return dataclasses.replace(subject, machine=machine)


def with_runbook(subject: Subject, **changes: object) -> Subject:
    runbook = dataclasses.replace(subject.entry.runbook, **changes)
    return dataclasses.replace(subject, entry=dataclasses.replace(subject.entry, runbook=runbook))


def payload(subject: Subject, name: str, **changes: str | None) -> Subject:
    """The subject with a state's payload changed key by key."""
    arguments = copy.deepcopy(subject.states[name]["Arguments"])
    arguments["Payload"].update(changes)
    arguments["Payload"] = {k: v for k, v in arguments["Payload"].items() if v is not None}
    return with_states(subject, **{name: {"Arguments": arguments}})


class UnboundedLimits(DynamoDbThrottlingLimits):
    max_tables: int = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeakyParameters:
    password: str | None = None


class ForeignTable(DynamoDbTable):
    """A target that the platform does not have."""

    def names(self, _platform):
        return ("SomebodyElses",)


def foreign_example(subject: Subject) -> Subject:
    runbook = dataclasses.replace(subject.entry.runbook, target=ForeignTable())
    comment = f"Start by hand with: {runbook.example_input(subject.platform)}"
    return dataclasses.replace(subject, machine={**subject.machine, "Comment": comment})


def longer_way(subject: Subject) -> Subject:
    detour = {"Comment": "Passes.", "Type": "Pass", "Next": "BumpCapacity"}
    return with_states(subject, ChooseMode={"Default": "Detour"}, Detour=detour)


TO_ROLL_BACK = [{"ErrorEquals": ["States.ALL"], "Next": "RollBack"}]
TO_FINISH = [{"ErrorEquals": ["States.ALL"], "Next": "Finish"}]
BROKEN: list[tuple[Rule, Callable[[Subject], Subject], str]] = [
    (
        rules.a_way_to_roll_back_says_why,
        lambda s: with_states(s, IsTableSettled={"Choices": [], "Default": "RollBack"}),
        "IsTableSettled: goes to RollBack without a failure that says why",
    ),
    (
        rules.every_state_has_a_comment,
        lambda s: with_states(s, CheckTable={"Comment": None}),
        "CheckTable: no Comment",
    ),
    (
        rules.every_state_has_a_comment,
        lambda s: with_states(
            s,
            Look={
                "Comment": "Looks.",
                "Type": "Parallel",
                "Branches": [{"States": {"Inner": {"Type": "Pass"}}}],
            },
        ),
        "Inner: no Comment",
    ),
    *(
        (
            rules.every_top_level_task_is_bounded_and_caught,
            lambda s, key=key: with_states(s, BumpCapacity={key: None}),
            f"BumpCapacity: no {key}",
        )
        for key in ("TimeoutSeconds", "Retry", "Catch")
    ),
    (
        rules.every_catch_remembers_what_failed_and_where,
        lambda s: with_states(s, CheckTable={"Catch": TO_ROLL_BACK}),
        "CheckTable: a Catch does not keep error and state",
    ),
    (
        rules.own_states_leave_the_envelope_its_variables,
        lambda s: with_states(s, CheckTable={"Assign": {"verification": None}}),
        "CheckTable: assigns $verification, which is the envelope's",
    ),
    (
        rules.every_state_calls_a_step_of_its_function,
        lambda s: payload(s, "CheckTable", step="check_tables"),
        "CheckTable: there is no step check_tables",
    ),
    (
        rules.every_state_calls_a_step_of_its_function,
        lambda s: payload(s, "CheckTable", step="bump_capacity"),
        "CheckTable: bump_capacity is a step of the change function",
    ),
    (
        rules.every_state_calls_a_step_of_its_function,
        lambda s: payload(s, "Undo", step="finish"),
        "Undo: finish is a step of the observe function",
    ),
    (
        rules.every_step_is_called,
        lambda s: OtherSteps(s).add("switch_to_on_demand", Role.CHANGE).use(),
        "switch_to_on_demand: no state calls it",
    ),
    (
        rules.every_runbook_has_the_steps_of_the_envelope,
        lambda s: OtherSteps(s, without="check_undo").use(),
        "check_undo: missing",
    ),
    (
        rules.every_runbook_has_the_steps_of_the_envelope,
        lambda s: OtherSteps(s).add("verify", Role.CHANGE).use(),
        "verify: must be a step of the observe function",
    ),
    (
        rules.a_state_carries_the_name_of_its_step,
        lambda s: with_states(s, LookAtTable=s.states["CheckTable"]),
        "LookAtTable: calls check_table, so its name must be CheckTable",
    ),
    (
        rules.changing_states_say_for_which_run_and_plan,
        lambda s: payload(s, "BumpCapacity", plan_hash=None),
        "BumpCapacity: a changing state passes run_id and plan_hash",
    ),
    (
        rules.every_step_says_what_it_does_and_never_does,
        lambda s: OtherSteps(s).add("verify", Role.OBSERVE, doc="").use(),
        "verify: the docstring's first line is not a sentence",
    ),
    (
        rules.every_step_says_what_it_does_and_never_does,
        lambda s: OtherSteps(s).add("roll_back", Role.CHANGE, doc="Take it back.").use(),
        "roll_back: the docstring does not say what the step never does",
    ),
    (
        rules.every_declared_error_is_caught_where_it_belongs,
        lambda s: with_states(s, BumpCapacity={"Retry": s.states["BumpCapacity"]["Retry"][:1]}),
        "BumpCapacity: ResourceBusyError of bump_capacity is not retried",
    ),
    (
        rules.every_declared_error_is_caught_where_it_belongs,
        lambda s: with_states(s, BumpCapacity={"Catch": TO_FINISH}),
        "BumpCapacity: ChangeFailedError of bump_capacity goes to Finish, not to RollBack",
    ),
    (
        rules.every_declared_error_is_caught_where_it_belongs,
        lambda s: with_states(s, CheckTable={"Catch": TO_FINISH}),
        "CheckTable: ConcurrentChangeError of check_table goes to Finish, not to RollBack",
    ),
    (
        rules.every_declared_error_is_caught_where_it_belongs,
        lambda s: OtherSteps(s).add("bump_capacity", Role.CHANGE, raises=[DuplicateRunError]).use(),
        "BumpCapacity: DuplicateRunError of bump_capacity goes to RollBack, not to Finish",
    ),
    (
        rules.every_declared_error_is_caught_where_it_belongs,
        lambda s: with_states(s, Verify={"Catch": []}),
        "Verify: ThrottledError of verify goes to None, not to JudgeVerification",
    ),
    (
        rules.every_declared_error_is_caught_where_it_belongs,
        lambda s: with_states(s, Prepare={"Catch": TO_ROLL_BACK}),
        "Prepare: TargetNotFoundError of check_undo goes to RollBack, not to Finish",
    ),
    (
        rules.a_change_that_is_not_admitted_is_not_rolled_back,
        lambda s: with_states(s, BumpCapacity={"Catch": TO_ROLL_BACK}),
        "BumpCapacity: NotAdmittedError must go to Finish, nothing was changed",
    ),
    (
        rules.the_first_change_is_near,
        longer_way,
        "first change after 5 states and 2 functions",
    ),
    (
        rules.the_first_change_is_near,
        lambda s: with_states(s, BumpCapacity={"Next": "Verify", "Arguments": {}}),
        "first change after 0 states and 0 functions",
    ),
    (
        rules.every_limit_has_bounds,
        lambda s: with_runbook(s, limits=UnboundedLimits()),
        "max_tables: declare it with limit(default, minimum, maximum, meaning)",
    ),
    (
        rules.every_limit_has_bounds,
        lambda s: with_runbook(
            s, limits=dataclasses.replace(s.entry.runbook.limits, breaker_failures=0)
        ),
        "breaker_failures: 0 is outside its own bounds",
    ),
    (
        rules.the_comment_shows_an_input_that_works,
        foreign_example,
        "the example is refused: target.table_name: 'SomebodyElses' is not in platform.json",
    ),
    (
        rules.the_comment_shows_an_input_that_works,
        lambda s: dataclasses.replace(s, machine={**s.machine, "Comment": "Heals tables."}),
        "the example is refused: Expecting value",
    ),
    (
        rules.the_comment_shows_an_input_that_works,
        lambda s: dataclasses.replace(
            s,
            machine={
                **s.machine,
                "Comment": 'Start by hand with: {"target": {"table_name": "ChatSession-prod"}}',
            },
        ),
        "the example would change something",
    ),
    (
        rules.no_field_is_named_like_a_secret,
        lambda s: with_runbook(s, parameters=LeakyParameters),
        "password: secrets never travel",
    ),
    (
        rules.no_field_is_named_like_a_secret,
        lambda s: payload(s, "CheckTable", secret_value="x"),
        "secret_value: secrets never travel",
    ),
]


@pytest.mark.parametrize(
    ("rule", "broken", "problem"),
    [pytest.param(*case, id=f"{case[0].__name__}: {case[2][:40]}") for case in BROKEN],
)
def test_finds_what_breaks_it(subjects, rule, broken, problem):
    found = list(rule(broken(subjects["dynamodb_throttling"])))

    assert any(line.startswith(problem) for line in found), found


def test_every_rule_has_a_runbook_that_breaks_it():
    assert {rule for rule, _, _ in BROKEN} == set(RULES)


def test_a_second_change_that_is_refused_is_rolled_back(subjects):
    """After the first change something has happened, whatever the second one says."""
    subject = subjects["dynamodb_throttling"]
    second = copy.deepcopy(subject.states["BumpCapacity"]) | {"Catch": TO_FINISH}
    second["Arguments"]["Payload"]["step"] = "second_change"
    chained = with_states(subject, BumpCapacity={"Next": "SecondChange"}, SecondChange=second)
    steps = OtherSteps(chained).add(
        "second_change",
        Role.CHANGE,
        raises=[TargetNotFoundError, ChangeFailedError, ThrottledError, ResourceBusyError],
    )

    found = list(rules.every_declared_error_is_caught_where_it_belongs(steps.use()))

    assert (
        "SecondChange: TargetNotFoundError of second_change goes to Finish, not to RollBack"
        in found
    )

"""Variables: merged, compared and taken back inside the resource; only names come out."""

import dataclasses
import json

import pytest

from lambdas.remediation import changes, clients
from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.errors import ConcurrentChangeError, PrerequisiteNotMetError
from lambdas.remediation.resources.lambda_variables import LambdaVariables, update_variables
from tests.remediation.release_service import (
    FIRST,
    FUNCTION_ARN,
    SECOND,
    ReleaseService,
    SecretService,
)

OLD = {"MODE": "old", "KEPT": "kept"}
CALL = update_variables(
    FUNCTION_ARN,
    base="7",
    release="run:one",
    set_names=["MODE", "ADDED"],
    remove=[],
    secret=("chat/variables", FIRST),
    revision_id=None,
)
MERGED = {"MODE": "new", "KEPT": "kept", "ADDED": "added"}
BEFORE, AFTER, ELSEWHERE = changes.Position


@pytest.fixture
def service(aws) -> ReleaseService:
    return ReleaseService(clients.client("lambda"))


@pytest.fixture
def secret(aws) -> SecretService:
    return SecretService(clients.client("secretsmanager"))


@pytest.fixture
def variables(service, secret) -> LambdaVariables:
    return LambdaVariables(clients.client("lambda"))


def where(call: PlannedCall, variables: LambdaVariables) -> changes.Position:
    return changes.position(call, (variables,))


def planned(variables: LambdaVariables, **asked):
    given = {"set_names": [], "remove": [], "secret_id": "chat/variables", "version_id": None}
    return variables.planned("chat", **{**given, **asked})


def test_merges_and_keeps_all_others(service, variables):
    positions = [where(CALL, variables)]
    variables.apply(CALL)
    positions.append(where(CALL, variables))

    assert service.variables == MERGED
    assert positions == [BEFORE, AFTER]
    assert service.asked("UpdateFunctionConfiguration").keys() == {
        "FunctionName",
        "Environment",
        "RevisionId",
    }


def test_removes_only_what_is_named(service, variables):
    call = update_variables(
        FUNCTION_ARN,
        base="7",
        release="run:one",
        set_names=[],
        remove=["MODE"],
        secret=None,
        revision_id=None,
    )
    variables.apply(call)

    assert service.variables == {"KEPT": "kept"}


def test_comes_back_from_the_version_that_keeps_them(service, variables):
    variables.apply(CALL)
    variables.apply(CALL.inverse())

    assert service.variables == OLD
    assert where(CALL, variables) is BEFORE


def test_the_way_back_needs_no_secret_once_the_release_is_published(service, secret, variables):
    variables.apply(CALL)
    service.versions["8"] = {**service.latest, "Version": "8", "Description": "run:one"}
    secret.texts.clear()
    secret.texts[SECOND] = "{}"

    assert where(CALL, variables) is AFTER
    variables.apply(CALL.inverse())
    assert service.variables == OLD


def test_without_secret_and_release_nobody_can_tell(service, secret, variables):
    variables.apply(CALL)
    secret.failing = "AccessDeniedException"

    assert where(CALL, variables) is ELSEWHERE


def test_the_pinned_version_is_used_whatever_is_current(service, secret, variables):
    secret.texts[SECOND] = json.dumps({"MODE": "newer", "ADDED": "newer"})
    variables.apply(CALL)

    assert service.variables == MERGED


def test_variables_that_somebody_has_changed_are_left_alone_and_told_by_name(service, variables):
    service.touch(Environment={"Variables": {"MODE": "hunter2"}})

    assert variables.present(CALL) == {"Variables": {"names": ["MODE"]}}
    with pytest.raises(ConcurrentChangeError) as caught:
        variables.apply(CALL)
    assert "hunter2" not in str(caught.value)
    assert service.variables == {"MODE": "hunter2"}


def test_before_they_are_published_the_revision_of_the_plan_tells(service, variables):
    call = update_variables(
        FUNCTION_ARN,
        base="release:before run:one",
        release="run:one",
        set_names=["MODE"],
        remove=[],
        secret=("chat/variables", FIRST),
        revision_id="1",
    )
    unpublished = where(call, variables)
    service.touch(Environment={"Variables": {"MODE": "theirs"}})

    assert (unpublished, where(call, variables)) == (BEFORE, ELSEWHERE)


def test_variables_that_cannot_be_decrypted_are_never_written(service, variables):
    service.touch(Environment={"Error": {"ErrorCode": "AccessDeniedException"}})

    for attempt in (variables.apply, variables.present):
        with pytest.raises(PrerequisiteNotMetError) as caught:
            attempt(CALL)
        assert "cannot decrypt its variables (AccessDeniedException)" in str(caught.value)
    assert service.changing() == []


def test_plans_by_name(variables):
    found = planned(variables, set_names=["MODE", "ADDED", "TYPO"], remove=["KEPT", "NONE"])

    assert dataclasses.asdict(found) == {
        "names": ("ADDED", "MODE"),
        "changed": ("ADDED", "KEPT", "MODE"),
        "without_value": ("TYPO",),
        "absent": ("NONE",),
        "size_bytes": 17,
        "values_version": FIRST,
    }


def test_a_value_that_is_there_already_changes_nothing(service, variables):
    service.touch(Environment={"Variables": {"MODE": "new"}})

    assert planned(variables, set_names=["MODE"]).changed == ()


@pytest.mark.parametrize("text", ["hunter2", '["hunter2"]', '{"MODE": 5, "KEY": "hunter2"}'])
def test_a_secret_of_another_form_is_refused_and_not_shown(secret, variables, text):
    secret.texts[FIRST] = text

    with pytest.raises(PrerequisiteNotMetError) as caught:
        planned(variables, set_names=["MODE"])
    assert "must be a JSON object of variable names and texts" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_secret_that_may_not_be_read_is_named(secret, variables):
    secret.failing = "AccessDeniedException"

    with pytest.raises(PrerequisiteNotMetError) as caught:
        planned(variables, set_names=["MODE"], version_id=FIRST)
    assert str(caught.value) == (
        f"secret chat/variables version {FIRST}: cannot be read: AccessDeniedException"
    )

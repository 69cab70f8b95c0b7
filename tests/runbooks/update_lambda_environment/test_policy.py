"""Decisions of update_lambda_environment: names are checked, values are never seen."""

import dataclasses

import pytest

from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.platform import Function
from lambdas.remediation.resources.lambda_alias import Alias
from lambdas.remediation.resources.lambda_release import Configuration
from lambdas.remediation.resources.lambda_variables import Planned
from lambdas.runbooks.update_lambda_environment import policy
from lambdas.runbooks.update_lambda_environment.policy import Asked, Situation

ARN = "arn:aws:lambda:us-east-1:123456789012:function:chat"
VERSION = "0a1b2c3d-4e5f-6a7b-8c9d-0e1f2a3b4c5d"
ALIAS = Alias(function_name="chat", name="live", arn=f"{ARN}:live", version="7", revision_id="a")
LATEST = Configuration(
    version="$LATEST",
    state="Active",
    last_update_status="Successful",
    code_sha256="code",
    revision_id="revision",
)
PLANNED = Planned(
    names=("ENDPOINT", "MODE"),
    changed=("ENDPOINT", "OLD_FLAG"),
    size_bytes=40,
    values_version="secret-version",
)
SITUATION = Situation(
    function_arn=ARN,
    asked=Asked(set=("ENDPOINT",), remove=("OLD_FLAG",)),
    secret_id="chat/variables",
    planned=PLANNED,
    latest=LATEST,
    alias=ALIAS,
    served_code="code",
    keeper="7",
    canary_percent=10,
    run_id="update-lambda-environment:one",
)


def planned(**changed):
    return dataclasses.replace(SITUATION, planned=dataclasses.replace(PLANNED, **changed))


class TestParameters:
    def test_names_to_set_and_to_remove(self):
        given = {"set": ["MODE"], "remove": ["OLD_FLAG"], "version_id": VERSION}

        assert policy.asked(given) == Asked(set=("MODE",), remove=("OLD_FLAG",), version_id=VERSION)

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ({}, "parameters.set: missing"),
            ({"set": ["AWS_REGION"]}, "parameters.set: AWS_REGION is reserved"),
            ({"remove": ["LAMBDA_TASK_ROOT"]}, "parameters.remove: LAMBDA_TASK_ROOT is reserved"),
            ({"set": ["_HANDLER"]}, "parameters.set: holds what is no name"),
            ({"set": ["A"]}, "two or more letters"),
            (
                {"set": ["MODE"], "version_id": "AWSCURRENT"},
                "parameters.version_id: 'AWSCURRENT' is no version of a secret",
            ),
            ({"set": ["MODE"], "remove": ["MODE"]}, "parameters.remove: MODE is in parameters.set"),
        ],
    )
    def test_what_cannot_be_a_variable_is_refused(self, given, told):
        with pytest.raises(InvalidRequestError) as caught:
            policy.asked(given)

        assert told in str(caught.value)

    def test_a_value_typed_by_mistake_is_not_repeated(self):
        with pytest.raises(InvalidRequestError) as caught:
            policy.asked({"set": ["MODE=hunter2"]})

        assert "hunter2" not in str(caught.value)

    def test_a_secret_is_needed_to_set_and_not_to_remove(self):
        function = Function(function_name="chat")

        assert policy.require_secret(function, []) is None
        with pytest.raises(PrerequisiteNotMetError) as caught:
            policy.require_secret(function, ["MODE"])
        assert "set functions[].variables_secret_id" in str(caught.value)


class TestPlan:
    def test_merges_publishes_and_moves_the_alias(self):
        update, publish, move = policy.decide(SITUATION).calls

        assert (update.api, update.reversible) == ("lambda:UpdateFunctionConfiguration", True)
        assert update.arguments == {}
        assert update.before == {"Variables": {"same_as_version": "7"}}
        assert update.after == {
            "Variables": {
                "same_as_version": "7",
                "set": ["ENDPOINT"],
                "removed": ["OLD_FLAG"],
                "secret": "chat/variables",
                "secret_version": "secret-version",
                "release": "release:update-lambda-environment:one",
            }
        }
        assert publish.after == {"PublishedVersion": "release:update-lambda-environment:one"}
        assert move.after["FunctionVersion"] == "release:update-lambda-environment:one"

    def test_variables_that_no_version_keeps_are_published_first(self):
        record, update, *_ = policy.decide(dataclasses.replace(SITUATION, keeper=None)).calls

        name = "release:before update-lambda-environment:one"
        assert (record.api, record.after) == ("lambda:PublishVersion", {"PublishedVersion": name})
        assert update.before == {"Variables": {"same_as_version": name}}
        assert update.arguments == {"RevisionId": "revision"}

    def test_the_reason_names_what_changes_and_the_version_of_the_secret(self):
        assert policy.decide(SITUATION).reason.startswith(
            "In the variables of chat:live set ENDPOINT from secret chat/variables secret-version "
            "and remove OLD_FLAG, and give the new version at first 10 % of the traffic"
        )

    def test_removing_alone_needs_no_secret(self):
        only = dataclasses.replace(
            planned(values_version=None), asked=Asked(set=(), remove=("OLD_FLAG",)), secret_id=None
        )

        assert policy.decide(only).calls[0].after["Variables"]["secret"] is None


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (dataclasses.replace(SITUATION, served_code="other"), "not that of version 7"),
        (
            planned(without_value=("ENDPOINT",)),
            "secret chat/variables version secret-version has no ENDPOINT",
        ),
        (planned(absent=("OLD_FLAG",)), "function chat has no variable OLD_FLAG"),
        (planned(changed=()), "nothing to do: ENDPOINT of function chat"),
        (planned(size_bytes=4_097), "would take 4097 bytes, Lambda takes 4096"),
    ],
)
def test_says_what_is_wrong_and_what_to_do(changed, told):
    with pytest.raises(PrerequisiteNotMetError) as caught:
        policy.decide(changed)

    assert told in str(caught.value)


def test_four_kilobytes_are_accepted():
    assert len(policy.decide(planned(size_bytes=4_096)).calls) == 3

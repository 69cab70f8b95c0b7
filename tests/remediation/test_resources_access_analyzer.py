"""Access Analyzer: what it finds, and that nothing passes where it cannot be asked."""

import json

import pytest
from botocore.exceptions import EndpointConnectionError

from lambdas.remediation import clients
from lambdas.remediation.errors import PrerequisiteNotMetError, ThrottledError
from lambdas.remediation.resources.access_analyzer import AccessAnalyzer

NEW, OLD = {"Statement": []}, {"Statement": [{"Effect": "Allow"}]}


def finding(kind):
    return {
        "findingType": kind,
        "issueCode": "ISSUE",
        "findingDetails": f"{kind} found",
        "learnMoreLink": "",
        "locations": [],
    }


@pytest.fixture
def analyzer(aws):
    return AccessAnalyzer(clients.client("accessanalyzer"))


@pytest.fixture
def validate(calls_of):
    return calls_of("accessanalyzer", "ValidatePolicy")


@pytest.fixture
def compare(calls_of):
    return calls_of("accessanalyzer", "CheckNoNewAccess")


def test_sound_policy_has_no_problems(analyzer, validate, compare):
    validate.will_answer({"findings": [finding("WARNING"), finding("SUGGESTION")]})
    compare.will_answer({"result": "PASS"})
    assert analyzer.problems(NEW, OLD) == []
    assert validate.made == [{"policyDocument": json.dumps(NEW), "policyType": "IDENTITY_POLICY"}]
    assert compare.made == [
        {
            "newPolicyDocument": json.dumps(NEW),
            "existingPolicyDocument": json.dumps(OLD),
            "policyType": "IDENTITY_POLICY",
        }
    ]


def test_errors_of_every_page_and_new_access_are_problems(analyzer, validate, compare):
    validate.will_answer(
        {"findings": [finding("SUGGESTION")], "nextToken": "more"}, {"findings": [finding("ERROR")]}
    )
    compare.will_answer({"result": "FAIL", "message": "grants more"})
    assert analyzer.problems(NEW, OLD) == ["ISSUE: ERROR found", "new access: grants more"]


def test_answer_without_a_result_is_no_pass(analyzer, validate, compare):
    validate.will_answer({"findings": []})
    compare.will_answer({})
    assert analyzer.problems(NEW, OLD) == ["new access: None"]


@pytest.mark.parametrize("code", ["AccessDeniedException", "UnprocessableEntityException"])
def test_what_cannot_be_checked_is_refused(analyzer, validate, compare, code):
    validate.will_answer({"findings": []})
    compare.will_fail(code)
    with pytest.raises(PrerequisiteNotMetError, match=f"Access Analyzer: .*{code}"):
        analyzer.problems(NEW, OLD)


def test_region_without_access_analyzer_is_refused(analyzer):
    def unreachable(**_):
        raise EndpointConnectionError(endpoint_url="https://access-analyzer.nowhere")

    events = clients.client("accessanalyzer").meta.events
    events.register("before-call.accessanalyzer", unreachable)
    with pytest.raises(PrerequisiteNotMetError, match="Could not connect"):
        analyzer.problems(NEW, OLD)


def test_busy_service_is_asked_again(analyzer, validate):
    validate.will_fail("ThrottlingException", times=3)
    with pytest.raises(ThrottledError):
        analyzer.problems(NEW, OLD)

"""Aliases: where they point, and moving them only if nobody else has."""

import pytest
from botocore.exceptions import ReadTimeoutError

from lambdas.remediation import clients
from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    ResourceBusyError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.resources.lambda_alias import (
    Alias,
    FunctionState,
    Invocation,
    LambdaAliases,
)

ARN = "arn:aws:lambda:us-east-1:123456789012:function:chat:live"
CALL = PlannedCall(
    api="lambda:UpdateAlias",
    resource=ARN,
    arguments={
        "FunctionName": "chat",
        "Name": "live",
        "FunctionVersion": "6",
        "RoutingConfig": {"AdditionalVersionWeights": {}},
        "RevisionId": "planned",
    },
    before={"FunctionVersion": "7", "AdditionalVersionWeights": {"8": 0.1}},
    after={"FunctionVersion": "6", "AdditionalVersionWeights": {}},
)


def described(version: str = "7", *, revision: str = "planned", **weights: float) -> dict:
    return {
        "AliasArn": ARN,
        "Name": "live",
        "FunctionVersion": version,
        "RevisionId": revision,
        "RoutingConfig": {"AdditionalVersionWeights": {k[1:]: v for k, v in weights.items()}},
    }


BEFORE, AFTER = described("7", v8=0.1), described("6", revision="new")


@pytest.fixture
def aliases(aws):
    return LambdaAliases(clients.client("lambda"))


@pytest.fixture
def get(calls_of):
    return calls_of("lambda", "GetAlias")


@pytest.fixture
def update(calls_of):
    return calls_of("lambda", "UpdateAlias")


def test_reads_version_and_weights(aliases, get):
    get.will_answer(BEFORE)

    assert aliases.read("chat", "live") == Alias(
        function_name="chat",
        name="live",
        arn=ARN,
        version="7",
        weights={"8": 0.1},
        revision_id="planned",
    )
    assert get.made == [{"FunctionName": "chat", "Name": "live"}]


def test_an_alias_without_weights_has_no_routing(aliases, get):
    get.will_answer({k: v for k, v in described().items() if k != "RoutingConfig"})

    assert aliases.read("chat", "live").weights == {}


def test_missing_alias(aliases, get):
    get.will_fail("ResourceNotFoundException")

    with pytest.raises(TargetNotFoundError) as caught:
        aliases.read("chat", "live")

    assert str(caught.value).startswith("alias chat:live: not found")


def test_plans_version_and_weights_as_one_setting(aliases, get):
    get.will_answer(BEFORE)

    assert aliases.read("chat", "live").moved_to("6") == CALL


def test_present_values_are_those_of_the_call(aliases, get):
    get.will_answer(BEFORE)

    assert aliases.present(CALL) == CALL.before


def test_moves_with_the_revision_of_the_plan(aliases, get, update):
    get.will_answer(described("7", revision="touched since", v8=0.1))
    update.will_answer(AFTER)

    aliases.apply(CALL)

    assert update.made == [
        {
            "FunctionName": "chat",
            "Name": "live",
            "FunctionVersion": "6",
            "RoutingConfig": {"AdditionalVersionWeights": {}},
            "RevisionId": "planned",
        }
    ]


def test_way_back_takes_the_present_revision_and_the_old_weights(aliases, get, update):
    get.will_answer(AFTER)
    update.will_answer(BEFORE)

    aliases.apply(CALL.inverse())

    assert update.made == [
        {
            "FunctionName": "chat",
            "Name": "live",
            "FunctionVersion": "7",
            "RoutingConfig": {"AdditionalVersionWeights": {"8": 0.1}},
            "RevisionId": "new",
        }
    ]


def test_what_is_done_is_not_done_again(aliases, get, update):
    get.will_answer(AFTER)

    aliases.apply(CALL)

    assert update.made == []


@pytest.mark.parametrize("call", [CALL, CALL.inverse()], ids=["forth", "back"])
def test_an_alias_that_someone_moved_stays_there(aliases, get, update, call):
    get.will_answer(described("9"))

    with pytest.raises(ConcurrentChangeError):
        aliases.apply(call)

    assert update.made == []


def test_a_stale_revision_is_a_concurrent_change(aliases, get, update):
    get.will_answer(BEFORE, described("9"))
    update.will_fail("PreconditionFailedException")

    with pytest.raises(ConcurrentChangeError):
        aliases.apply(CALL)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ResourceConflictException", ResourceBusyError),
        ("TooManyRequestsException", ThrottledError),
        ("ServiceException", ThrottledError),
        ("InvalidParameterValueException", ChangeFailedError),
        ("ResourceNotFoundException", ChangeFailedError),
    ],
)
def test_errors_of_a_move(aliases, get, update, code, expected):
    get.will_answer(BEFORE, BEFORE)
    update.will_fail(code, times=3)

    with pytest.raises(expected):
        aliases.apply(CALL)


def test_a_move_whose_answer_is_lost_was_made(aliases, get, update):
    get.will_answer(BEFORE, AFTER)
    update.will_answer(AFTER)

    def lose_answer(**_):
        raise ReadTimeoutError(endpoint_url="https://lambda.us-east-1.amazonaws.com")

    clients.client("lambda").meta.events.register("after-call.lambda.UpdateAlias", lose_answer)

    aliases.apply(CALL)

    assert len(update.made) == 1


def configuration(**fields: object) -> dict:
    return {
        "Version": "6",
        "CodeSha256": "abc",
        "Environment": {"Variables": {"API_KEY": "hunter2"}},
        **fields,
    }


def test_state_of_a_version_leaves_its_environment_behind(aliases, calls_of):
    asked = calls_of("lambda", "GetFunctionConfiguration")
    asked.will_answer(
        configuration(
            State="Inactive",
            LastUpdateStatus="Successful",
            Role="arn:aws:iam::123456789012:role/chat",
        )
    )

    state = aliases.state("chat", "6")

    assert asked.made == [{"FunctionName": "chat", "Qualifier": "6"}]
    assert state == FunctionState(
        version="6",
        state="Inactive",
        last_update_status="Successful",
        code_sha256="abc",
        role_arn="arn:aws:iam::123456789012:role/chat",
    )
    assert "hunter2" not in repr(state)


@pytest.mark.parametrize(
    ("fields", "serves", "settled"),
    [
        ({}, True, True),
        ({"State": "Active", "LastUpdateStatus": "InProgress"}, True, False),
        ({"State": "Pending"}, False, False),
        ({"State": "Failed", "LastUpdateStatus": "Failed"}, False, True),
    ],
)
def test_what_serves_and_what_is_settled(aliases, calls_of, fields, serves, settled):
    calls_of("lambda", "GetFunctionConfiguration").will_answer(configuration(**fields))

    state = aliases.state("chat", "6")

    assert (state.serves, state.settled) == (serves, settled)


def test_missing_version(aliases, calls_of):
    calls_of("lambda", "GetFunctionConfiguration").will_fail("ResourceNotFoundException")

    with pytest.raises(TargetNotFoundError):
        aliases.state("chat", "6")


def test_invokes_through_the_alias_and_keeps_no_answer(aliases, calls_of):
    invoke = calls_of("lambda", "Invoke")
    invoke.will_answer(
        {"StatusCode": 200, "FunctionError": "Unhandled", "ExecutedVersion": "6", "Payload": b"{}"}
    )

    answer = aliases.invoke("chat", "live", {"ping": True})

    assert answer == Invocation(status_code=200, function_error="Unhandled", executed_version="6")
    assert invoke.made == [
        {
            "FunctionName": "chat",
            "Qualifier": "live",
            "InvocationType": "RequestResponse",
            "Payload": b'{"ping":true}',
        }
    ]


def test_a_throttled_invocation_may_be_repeated(aliases, calls_of):
    calls_of("lambda", "Invoke").will_fail("TooManyRequestsException", times=3)

    with pytest.raises(ThrottledError):
        aliases.invoke("chat", "live", {})

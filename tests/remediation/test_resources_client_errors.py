"""AWS error codes to our error classes."""

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    ResourceBusyError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.resources.client_errors import changing, reading

CALL = PlannedCall(
    api="dynamodb:UpdateTable",
    resource="arn:aws:dynamodb:us-east-1:000000000000:table/orders",
    arguments={},
    before={"WriteCapacityUnits": 5},
    after={"WriteCapacityUnits": 10},
)
URL = "https://dynamodb.us-east-1.amazonaws.com"
NO_ANSWER = [
    ReadTimeoutError(endpoint_url=URL),
    ConnectTimeoutError(endpoint_url=URL),
    EndpointConnectionError(endpoint_url=URL),
]


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "why"}}, "UpdateTable")


def still_before(call: PlannedCall) -> dict:
    return call.before


def already_after(call: PlannedCall) -> dict:
    return call.after


def gone(call: PlannedCall) -> dict:
    raise TargetNotFoundError("gone")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ThrottlingException", ThrottledError),
        ("Throttling", ThrottledError),
        ("RequestLimitExceeded", ThrottledError),
        ("TooManyRequestsException", ThrottledError),
        ("InternalServerError", ThrottledError),
        ("InternalServiceException", ThrottledError),
        ("ServiceUnavailable", ThrottledError),
        ("SlowDown", ThrottledError),
        ("OperationAborted", ResourceBusyError),
        ("NoSuchBucket", TargetNotFoundError),
        ("ParameterNotFound", TargetNotFoundError),
        ("TooManyUpdates", ThrottledError),
        ("ResourceInUseException", ResourceBusyError),
        ("ConcurrentUpdateException", ResourceBusyError),
        ("ResourceNotFound", TargetNotFoundError),
        ("ResourceNotFoundException", TargetNotFoundError),
        ("ObjectNotFoundException", TargetNotFoundError),
        ("UserNotFoundException", TargetNotFoundError),
        ("InternalErrorException", ThrottledError),
        ("NoSuchEntity", TargetNotFoundError),
        ("ServiceFailure", ThrottledError),
        ("AccessDeniedException", ClientError),
        ("ValidationException", ClientError),
        ("LimitExceededException", ClientError),
    ],
)
def test_code_of_a_reading_call(code, expected):
    with pytest.raises(expected) as caught, reading("table orders"):
        raise client_error(code)

    assert type(caught.value) is not ClientError or caught.value.response["Error"]["Code"] == code


def test_message_of_a_reading_call_names_subject_code_and_reason():
    with pytest.raises(ThrottledError) as caught, reading("table orders"):
        raise client_error("ThrottlingException")

    assert str(caught.value) == "table orders: ThrottlingException: why"
    assert isinstance(caught.value.__cause__, ClientError)


@pytest.mark.parametrize("error", NO_ANSWER)
def test_reading_without_an_answer_may_be_repeated(error):
    with pytest.raises(ThrottledError), reading("table orders"):
        raise error


def test_reading_lets_other_exceptions_through():
    with pytest.raises(KeyError), reading("table orders"):
        raise KeyError("Table")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ThrottlingException", ThrottledError),
        ("InternalServerError", ThrottledError),
        ("ResourceInUseException", ResourceBusyError),
        ("ConcurrentUpdateException", ResourceBusyError),
        ("LimitExceededException", ChangeFailedError),
        ("MalformedXML", ChangeFailedError),
        ("InvalidRestoreTimeException", ChangeFailedError),
        ("ParameterPatternMismatchException", ChangeFailedError),
        ("PointInTimeRecoveryUnavailableException", ChangeFailedError),
        ("InvalidRequest", ChangeFailedError),
        ("InvalidArgument", ChangeFailedError),
        ("ValidationException", ChangeFailedError),
        ("InvalidParameterInput", ChangeFailedError),
        ("ResourceNotFoundException", ChangeFailedError),
        ("ObjectNotFoundException", ChangeFailedError),
        ("UserNotFoundException", ChangeFailedError),
        ("NotAuthorizedException", ChangeFailedError),
        ("UsernameExistsException", ConcurrentChangeError),
        ("AccessDeniedException", ClientError),
    ],
)
def test_code_of_a_changing_call(code, expected):
    with pytest.raises(expected), changing(CALL, still_before):
        raise client_error(code)


def test_a_refused_change_names_resource_api_and_reason():
    with pytest.raises(ChangeFailedError) as caught, changing(CALL, still_before):
        raise client_error("LimitExceededException")

    assert str(caught.value) == (
        "arn:aws:dynamodb:us-east-1:000000000000:table/orders: AWS refuses dynamodb:UpdateTable: "
        "LimitExceededException: why"
    )


def test_a_refused_change_that_is_there_already_is_no_failure():
    with changing(CALL, already_after):
        raise client_error("ValidationException")


def test_a_refused_change_of_something_that_is_gone_is_a_failure():
    with pytest.raises(ChangeFailedError), changing(CALL, gone):
        raise client_error("ResourceNotFoundException")


@pytest.mark.parametrize("error", NO_ANSWER)
def test_a_change_without_an_answer_that_took_effect_was_made(error):
    with changing(CALL, already_after):
        raise error


@pytest.mark.parametrize("error", NO_ANSWER)
def test_a_change_without_an_answer_and_without_effect_is_looked_at_again(error):
    with pytest.raises(ResourceBusyError), changing(CALL, still_before):
        raise error

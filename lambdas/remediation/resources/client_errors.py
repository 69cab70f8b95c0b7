"""AWS error codes to the classes of `lambdas.remediation.errors`: the one place that does it.

Codes not listed stay what they are; the state machine catches them with `States.ALL`.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
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

# AWS's side has a bad moment: the same call may work in a second.
_THROTTLED = {
    "InternalError",
    "InternalErrorException",
    "InternalFailure",
    "InternalServerError",
    "InternalServiceError",
    "InternalServiceException",
    "InternalServiceFault",
    "RequestLimitExceeded",
    "ServiceException",
    "ServiceFailure",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TooManyUpdates",
}
# Someone is changing the resource: wait and look again before deciding anything.
_BUSY = {
    "BackupInUseException",
    "ConcurrentUpdateException",
    "ConflictException",
    "OperationAborted",
    "ResourceConflictException",
    "ResourceInUseException",
    "TableInUseException",
}
_ABSENT = {
    "404",  # S3 answers HEAD without a body, so without a code of its own
    "BackupNotFoundException",
    "DashboardNotFoundError",  # CloudWatch for dashboards; in its old protocol `ResourceNotFound`
    "ExportNotFoundException",
    "NoSuchBucket",
    "NoSuchEntity",
    "NoSuchKey",
    "NotFoundException",
    "ObjectNotFoundException",
    "ParameterNotFound",
    "ResourceNotFound",
    "ResourceNotFoundException",
    "TableNotFoundException",
    "UserNotFoundException",
}
# Amazon Cognito user pools API Reference: AdminCreateUser, AdminResetUserPassword, and the others
# on users.
_REFUSED_BY_COGNITO = {
    "AliasExistsException",
    "InvalidEmailRoleAccessPolicyException",
    "InvalidLambdaResponseException",
    "InvalidParameterException",
    "InvalidPasswordException",
    "InvalidSmsRoleAccessPolicyException",
    "InvalidSmsRoleTrustRelationshipException",
    "NotAuthorizedException",
    "OperationNotEnabledException",
    "PreconditionNotMetException",
    "UnexpectedLambdaException",
    "UnsupportedUserStateException",
    "UserLambdaValidationException",
}
_REFUSED_CHANGE = {
    "AlreadyExistsException",
    "BadRequestException",
    "ChangeSetNotFound",
    "ContinuousBackupsUnavailableException",
    "DashboardInvalidInputError",
    "ExportConflictException",
    "InvalidArgument",
    "InvalidExportTimeException",
    "InvalidParameterException",
    "InvalidParameterInput",
    "InvalidParameterValue",
    "InsufficientCapabilitiesException",
    "InvalidChangeSetStatus",
    "InvalidParameterValueException",
    "InvalidRequest",
    "InvalidRequestException",
    "InvalidRestoreTimeException",
    "LimitExceeded",
    "LimitExceededException",
    "MalformedPolicyDocument",
    "MalformedXML",
    "ParameterMaxVersionLimitExceeded",
    "ParameterPatternMismatchException",
    "PointInTimeRecoveryUnavailableException",
    "UnmodifiableEntity",
    # CloudFormation's word for it.
    "ValidationError",
    "ValidationException",
    *_ABSENT,
    *_REFUSED_BY_COGNITO,
}
# Lambda: the alias is no longer the one that was read (`RevisionId`). Cognito: there was no such
# user when it was read, so that it exists is either this call's own doing or somebody else's.
_MOVED = {"PreconditionFailedException", "UsernameExistsException"}
_NO_ANSWER = (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)


@contextlib.contextmanager
def reading(subject: str) -> Iterator[None]:
    """Translate the errors of a call that changes nothing.

    Parameters
    ----------
    subject
        What is read; leads every message.

    Raises
    ------
    ThrottledError, ResourceBusyError
        The call may be repeated.
    TargetNotFoundError
        The resource does not exist.
    """
    try:
        yield
    except _NO_ANSWER as error:
        raise ThrottledError(f"{subject}: no answer from AWS: {error}") from error
    except ClientError as error:
        if _code(error) in _ABSENT:
            raise TargetNotFoundError(f"{subject}: not found: {_message(error)}") from error
        _raise_retryable(subject, error)
        raise


@contextlib.contextmanager
def changing(call: PlannedCall, present: Callable[[PlannedCall], dict[str, Any]]) -> Iterator[None]:
    """Translate the errors of a changing call, and settle those that do not tell what happened.

    A call that got no answer may have been carried out, and DynamoDB answers ValidationException
    to a value that is already there: both are decided by reading the present values back.

    Parameters
    ----------
    call
        The call being made.
    present
        Reads the present values of the call's keys.

    Raises
    ------
    ThrottledError, ResourceBusyError
        The step may be repeated: it reads before it changes.
    ChangeFailedError
        AWS does not accept the change.
    ConcurrentChangeError
        Someone else changed the resource since it was read.
    """
    try:
        yield
    except _NO_ANSWER as error:
        if present(call) != call.after:
            raise ResourceBusyError(
                f"{call.resource}: no answer to {call.api}, and no effect to be seen yet: {error}"
            ) from error
    except ClientError as error:
        if _code(error) in _MOVED and not _took_effect(call, present):
            raise ConcurrentChangeError(
                f"{call.resource}: someone else changed it since it was read: {_message(error)}"
            ) from error
        if _code(error) not in _REFUSED_CHANGE | _MOVED:
            _raise_retryable(call.resource, error)
            raise
        if not _took_effect(call, present):
            raise ChangeFailedError(
                f"{call.resource}: AWS refuses {call.api}: {_code(error)}: {_message(error)}"
            ) from error


def _took_effect(call: PlannedCall, present: Callable[[PlannedCall], dict[str, Any]]) -> bool:
    try:
        return present(call) == call.after
    except TargetNotFoundError:
        return False


def _raise_retryable(subject: str, error: ClientError) -> None:
    text = f"{subject}: {_code(error)}: {_message(error)}"
    if _code(error) in _THROTTLED:
        raise ThrottledError(text) from error
    if _code(error) in _BUSY:
        raise ResourceBusyError(text) from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _message(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))

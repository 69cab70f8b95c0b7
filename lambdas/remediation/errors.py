"""Every error a run can end with. The class name is the ASL error name, so this list is an API.

`ErrorEquals` matches the exact name, never a base class: the bases sort the errors for Python, the
state machines list the leaves (docs/architecture.md, "Errors").
"""


class RemediationError(Exception):
    """Base of all errors raised on purpose."""


class RetryableError(RemediationError):
    """Nothing is known to be wrong: Step Functions retries with backoff and jitter."""


class RefusedError(RemediationError):
    """The run may not act; nothing was changed. The machine goes to `Finish` with `refused`.

    `held_by` is the run that stands in the way, if one does.
    """

    def __init__(self, message: str, held_by: str | None = None) -> None:
        super().__init__(message)
        self.held_by = held_by


class ChangeError(RemediationError):
    """A change failed or may have happened. The machine goes to `RollBack`."""


class RollbackError(RemediationError):
    """A change could not be taken back. The target is quarantined and a person is paged."""


class ThrottledError(RetryableError):
    """AWS throttled the call, or a transaction met another one."""


class ResourceBusyError(RetryableError):
    """The resource is being updated by someone; wait and look again."""


class InvalidRequestError(RefusedError):
    """The input has a wrong, unknown or missing field; the message names it and the fix."""


class TargetNotFoundError(RefusedError):
    """The target is not a resource of the protected platform, or does not exist."""


class PrerequisiteNotMetError(RefusedError):
    """The world is not as this runbook needs it; the message says what is missing."""


class MutedError(RefusedError):
    """The kill switch is off, or the target is in a maintenance window."""


class DuplicateRunError(RefusedError):
    """An open run already owns this event or symptom. The outcome is `duplicate`."""


class TargetLockedError(RefusedError):
    """Another run is changing the target; the message says which and until when."""


class TargetQuarantinedError(RefusedError):
    """A failed rollback left the target in an unknown state; a person must release it."""


class CoolDownActiveError(RefusedError):
    """The runbook has just acted on the target; the message says until when to wait."""


class BreakerOpenError(RefusedError):
    """The runbook failed too often in a row; the message says until when it is stopped."""


class BudgetExceededError(RefusedError):
    """The changes allowed in this clock hour are used up."""


class ApprovalDeniedError(RefusedError):
    """A person said no."""


class WorldMovedError(RefusedError):
    """What the plan, or the run to undo, was based on is no longer so."""


class NotAdmittedError(RefusedError):
    """The changing function was called for a run that may not change anything now."""


class ChangeFailedError(ChangeError):
    """A changing call failed, or its result is unknown."""


class ConcurrentChangeError(ChangeError):
    """Someone else changed the resource between the plan and the change.

    `untouched`: this try of the step had made no call before.
    """

    untouched = False


class RollbackFailedError(RollbackError):
    """The recorded state could not be restored."""

"""From what happened to the one outcome, and who has to know. Pure functions."""

import json
from typing import Any

from lambdas.remediation import errors
from lambdas.remediation.contracts import (
    Change,
    Company,
    Decision,
    Mode,
    OutcomeName,
    Plan,
    Run,
    Trigger,
    Verdict,
    Verification,
    decode,
)
from lambdas.remediation.frozen import Frozen

REFUSALS = {c.__name__ for c in errors.RefusedError.__subclasses__()}
COUNTING = {OutcomeName.INEFFECTIVE, OutcomeName.ROLLED_BACK, OutcomeName.ROLLBACK_FAILED}
COOLING = {
    OutcomeName.VERIFIED,
    OutcomeName.HANDED_OVER,
    OutcomeName.INEFFECTIVE,
    OutcomeName.ROLLED_BACK,
}
PAGE, NOTE, NOBODY = "page", "note", "nobody"
# A stack of nested errors fits neither a phone nor, escaped, the 256 KiB of an SNS message.
MAX_MESSAGE = 4_000


class Failure(Frozen):
    """An error a state caught: its name, its message, and the state."""

    error: str
    message: str
    state: str


class Facts(Frozen):
    """What the machine knows when it comes to `Finish`."""

    failure: Failure | None = None
    change: Change | None = None
    verification: Verification | None = None
    hold: Verification | None = None
    rollback: Change | None = None
    rollback_failure: Failure | None = None
    company: Company | None = None


class Outcome(Frozen):
    """How the run ended, and one or two sentences why.

    `held`: whether a verified target stayed healed; None where nobody watched it.
    """

    name: OutcomeName
    reason: str
    held: bool | None = None


def read_failure(caught: Any, state: Any) -> Failure | None:
    """Failure from `$states.errorOutput`; a Lambda's cause is JSON with `errorMessage`."""
    if not caught:
        return None
    cause = caught.get("Cause") or ""
    try:
        message = json.loads(cause).get("errorMessage", cause)
    except (ValueError, AttributeError):
        message = cause
    error = caught.get("Error") or ""
    return Failure(error=error, message=str(message)[:MAX_MESSAGE], state=state or "")


def read_facts(event: dict[str, Any]) -> Facts:
    """Facts from the payload of `Finish`."""
    change, rollback = event.get("change"), event.get("rollback")
    verification, hold = event.get("verification"), event.get("hold")
    company = event.get("company")
    return Facts(
        failure=read_failure(event.get("failure"), event.get("failed_state")),
        change=decode(Change, change) if change else None,
        verification=decode(Verification, verification) if verification else None,
        hold=decode(Verification, hold) if hold else None,
        rollback=decode(Change, rollback) if rollback else None,
        rollback_failure=read_failure(event.get("rollback_failure"), "RollBack"),
        company=decode(Company, company) if company else None,
    )


def judge(run: Run | None, plan: Plan | None, facts: Facts) -> Outcome:
    """The outcome of a run (design: the table of outcomes)."""
    if facts.rollback_failure or facts.rollback:
        return _after_rollback(facts)
    if facts.failure:
        return _after_failure(facts.failure)
    if run is None or plan is None:
        return Outcome(name=OutcomeName.HANDED_OVER, reason="the run lost its record")
    if run.mode is Mode.OBSERVE or plan.decision is Decision.HAND_OVER:
        reported = run.mode is Mode.OBSERVE or plan.report
        name = OutcomeName.PROPOSED if reported else OutcomeName.HANDED_OVER
        return Outcome(name=name, reason=plan.reason)
    if facts.company and facts.verification is None and facts.change is None:
        return _after_company(plan, facts.company)
    return _after_verification(plan, facts)


def _after_company(plan: Plan, company: Company) -> Outcome:
    """What became of the run this one relied on, where that is where it ended."""
    if company.outcome is OutcomeName.PROPOSED:
        return Outcome(name=OutcomeName.PROPOSED, reason=f"{plan.reason} {company.reason}")
    return Outcome(name=OutcomeName.HANDED_OVER, reason=f"{plan.reason} {company.reason}")


def _after_rollback(facts: Facts) -> Outcome:
    why = facts.failure.message if facts.failure else ""
    if not why and facts.verification:
        why = facts.verification.reason
    if facts.rollback_failure:
        return Outcome(
            name=OutcomeName.ROLLBACK_FAILED,
            reason=f"{why.rstrip('.')}; taking it back failed: {facts.rollback_failure.message}",
        )
    # A change that needs no taking back any more was taken back by an earlier try of RollBack.
    if facts.change or (facts.rollback and facts.rollback.calls):
        return Outcome(name=OutcomeName.ROLLED_BACK, reason=why)
    return Outcome(name=OutcomeName.HANDED_OVER, reason=f"nothing was changed: {why}")


def _after_failure(failure: Failure) -> Outcome:
    if failure.error == errors.DuplicateRunError.__name__:
        return Outcome(name=OutcomeName.DUPLICATE, reason=failure.message)
    if failure.error in REFUSALS:
        return Outcome(name=OutcomeName.REFUSED, reason=failure.message)
    if failure.state == "AwaitApproval" and failure.error == "States.Timeout":
        return Outcome(
            name=OutcomeName.PROPOSED, reason="not approved in time; nothing was changed"
        )
    return Outcome(
        name=OutcomeName.HANDED_OVER,
        # A time-out comes without a message.
        reason=": ".join(
            x for x in (f"{failure.state} failed", failure.error, failure.message) if x
        ),
    )


def _after_verification(plan: Plan, facts: Facts) -> Outcome:
    checked = facts.verification
    if checked is None:
        return Outcome(name=OutcomeName.HANDED_OVER, reason="the run ended before verification")
    if checked.verdict is not Verdict.PASSED and plan.decision is Decision.DELEGATE:
        who = f"run {facts.company.run_id}" if facts.company else "another run"
        return Outcome(
            name=OutcomeName.HANDED_OVER,
            reason=f"{plan.reason} What {who} did has not ended this symptom: {checked.reason}",
        )
    if checked.verdict is not Verdict.PASSED:
        return Outcome(name=OutcomeName.INEFFECTIVE, reason=f"{plan.reason} {checked.reason}")
    if facts.hold is None:
        return Outcome(name=OutcomeName.VERIFIED, reason=plan.reason)
    held = facts.hold.verdict is Verdict.PASSED
    reason = plan.reason if held else f"{plan.reason} {facts.hold.reason}"
    return Outcome(name=OutcomeName.VERIFIED, reason=reason, held=held)


def audience(outcome: OutcomeName, run: Run | None, failure: Failure | None) -> str:
    """Who is told: `page`, `note` or `nobody` (design: the table of outcomes)."""
    if outcome is OutcomeName.DUPLICATE:
        return NOBODY
    if outcome is OutcomeName.REFUSED:
        return _refused_audience(run, failure)
    if outcome in {OutcomeName.VERIFIED, OutcomeName.PROPOSED}:
        return NOTE
    return PAGE


def _refused_audience(run: Run | None, failure: Failure | None) -> str:
    """A refused alarm leaves its symptom unowned, unless somebody is known to be on it."""
    if run is None or run.trigger is Trigger.PERSON:
        return NOBODY
    maintained = failure is not None and failure.message.startswith("maintenance ")
    somebody_is_on_it = failure is not None and failure.error in {
        errors.TargetLockedError.__name__,
        errors.ApprovalDeniedError.__name__,
    }
    return NOBODY if maintained or somebody_is_on_it else PAGE

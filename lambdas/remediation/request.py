"""What an alarm event or a person's JSON asks for: decoded, checked, or refused with an example."""

import contextlib
from collections.abc import Iterator
from typing import Any

from lambdas.remediation.contracts import (
    Incident,
    Mode,
    RunbookRequest,
    Trigger,
    decode,
    encode,
    parse_time,
)
from lambdas.remediation.errors import InvalidRequestError, RefusedError, TargetNotFoundError
from lambdas.remediation.platform import Platform
from lambdas.remediation.runbook import Runbook

ALARM_EVENT = "CloudWatch Alarm State Change"
SWEEP_SOURCE = "remediation.sweep"
_PERSON_FIELDS = ("target", "parameters", "mode", "reason", "undo")
# Step Functions' own key in the input of an execution that another execution started.
STARTED_BY = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"
MAX_REASON = 500


def read_request(runbook: Runbook, platform: Platform, prefix: str, given: Any) -> RunbookRequest:
    """Decode an execution's input.

    Parameters
    ----------
    given
        The execution input: an EventBridge alarm event, the sweep's copy of one, or what a person
        typed.

    Raises
    ------
    InvalidRequestError
        A field is wrong; the message names it, the fix, and an input that works.
    TargetNotFoundError
        The target, or the alarm, is not of the protected platform.
    """
    if not isinstance(given, dict):
        raise InvalidRequestError(f"input: must be a JSON object.{_example(runbook, platform)}")
    if given.get("detail-type") == ALARM_EVENT:
        return _from_alarm(runbook, platform, prefix, given)
    with example_on_error(runbook, platform):
        return _from_person(runbook, platform, given)


@contextlib.contextmanager
def example_on_error(
    runbook: Runbook,
    platform: Platform,
    errors: tuple[type[RefusedError], ...] = (InvalidRequestError, TargetNotFoundError),
) -> Iterator[None]:
    """Add an input that works to the message of whatever is wrong with the given one."""
    try:
        yield
    except errors as error:
        raise type(error)(f"{error}.{_example(runbook, platform)}") from None


def _example(runbook: Runbook, platform: Platform) -> str:
    return f" Try: {runbook.example_input(platform)}"


def _from_alarm(
    runbook: Runbook, platform: Platform, prefix: str, event: dict[str, Any]
) -> RunbookRequest:
    # AWS documents the fields read here; the others may be missing or new.
    detail = event.get("detail", {})
    name = detail.get("alarmName", "")
    spec = next((a for a in runbook.alarms(platform, prefix) if a.name == name), None)
    if spec is None:
        raise TargetNotFoundError(f"{name or 'alarm'}: not an alarm of {runbook.name}")
    state = detail.get("state", {})
    if state.get("value") != "ALARM" or "actionsSuppressedBy" in state:
        raise InvalidRequestError(f"{name}: only an unsuppressed change to ALARM starts a run")
    swept = event.get("source") == SWEEP_SOURCE
    return RunbookRequest(
        target=spec.target,
        mode=runbook.ceiling(platform),
        trigger=Trigger.SWEEP if swept else Trigger.ALARM,
        requested_by="sweep" if swept else "alarm",
        reason=f"alarm {name}",
        event_id=str(event.get("id")),
        incident=Incident(
            alarm_name=name,
            alarm_arn=event.get("resources", [""])[0],
            changed_at=parse_time(state["timestamp"]),
            reason=state.get("reason", ""),
        ),
    )


def _from_person(runbook: Runbook, platform: Platform, given: dict[str, Any]) -> RunbookRequest:
    fields = {k: v for k, v in given.items() if k != STARTED_BY}
    parent, started_by = None, given.get(STARTED_BY)
    if isinstance(started_by, str):
        # Begin looks whether there is such a run, and whether it asked for this.
        parent = fields.pop("parent", None)
    unknown = sorted(set(fields) - set(_PERSON_FIELDS))
    if unknown:
        raise InvalidRequestError(
            f"{unknown[0]}: unknown field; accepted are {', '.join(_PERSON_FIELDS)}"
        )
    reason = fields.get("reason", "")
    if not isinstance(reason, str) or len(reason) > MAX_REASON:
        raise InvalidRequestError(f"reason: must be text of at most {MAX_REASON} characters")
    mode = _mode(runbook, platform, fields.get("mode"), capped=parent is not None)
    undo = fields.get("undo")
    if undo is not None:
        if not isinstance(undo, str) or "target" in fields or "parameters" in fields:
            raise InvalidRequestError(
                "undo: must be a run id, with nothing beside it but reason and mode"
            )
        target = {}
    else:
        target = _target(runbook, platform, fields.get("target"))
    return RunbookRequest(
        target=target,
        parameters=_parameters(runbook, platform, fields.get("parameters", {})),
        mode=mode,
        trigger=Trigger.PERSON if parent is None else Trigger.PARENT,
        requested_by="person" if parent is None else f"run {parent}",
        reason=reason,
        undo=undo,
        parent=parent,
        parent_execution_arn=started_by if parent is not None else None,
    )


def _mode(runbook: Runbook, platform: Platform, wanted: Any, *, capped: bool) -> Mode:
    """The mode asked for; a run that asks for more than the ceiling gets the ceiling."""
    ceiling = runbook.ceiling(platform)
    if wanted is None:
        return ceiling
    accepted = [m.value for m in Mode if m.rank <= ceiling.rank]
    if wanted not in [m.value for m in Mode]:
        raise InvalidRequestError(f"mode: {wanted!r} is not one of {', '.join(accepted)}")
    mode = Mode(wanted)
    if capped:
        return min(mode, ceiling, key=lambda m: m.rank)
    if mode.rank > ceiling.rank:
        own = f"runbooks.{runbook.name}.mode"
        key = "mode" if ceiling is platform.mode else own
        raise InvalidRequestError(
            f"mode: {mode} is above the ceiling {ceiling} of {runbook.name}; ask for "
            f"{ceiling}, or raise {key} in platform.json"
        )
    return mode


def _target(runbook: Runbook, platform: Platform, given: Any) -> dict[str, str]:
    key = runbook.target.key
    if given is None:
        raise InvalidRequestError("target: missing")
    if not isinstance(given, dict) or set(given) != {key} or not isinstance(given[key], str):
        raise InvalidRequestError(f'target: must be {{"{key}": "<name>"}} and nothing else')
    names = runbook.target.names(platform)
    if given[key] not in names:
        raise TargetNotFoundError(
            f"target.{key}: {given[key]!r} is not in platform.json; it has {', '.join(names)}"
        )
    return {key: given[key]}


def _parameters(runbook: Runbook, platform: Platform, given: Any) -> dict[str, Any]:
    decoded = encode(decode(runbook.parameters, given, "parameters"))
    limits = runbook.limits_for(platform).as_dict()
    for name, value in decoded.items():
        if value is None or name not in limits:
            continue
        if not 1 <= value <= limits[name]:
            raise InvalidRequestError(
                f"parameters.{name}: {value} is outside 1 to {limits[name]}; the ceiling is "
                f"runbooks.{runbook.name}.limits.{name} in platform.json"
            )
    return {k: v for k, v in decoded.items() if v is not None}

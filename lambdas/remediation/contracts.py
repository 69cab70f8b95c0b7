"""The values that travel between states, functions and the run table.

Frozen, keyword-only, standard library only (the alarm path pays for every import at a cold start).
`encode` and `decode` are the only way in and out of JSON; `decode` is strict and names the path of
whatever it does not accept. Times are aware UTC, ISO 8601 on the wire.
"""

import dataclasses
import hashlib
import json
import types
import typing
from dataclasses import field
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any, TypeVar, Union

from lambdas.remediation.errors import InvalidRequestError
from lambdas.remediation.frozen import Frozen

T = TypeVar("T")
_hints: dict[type, dict[str, Any]] = {}

Json = Any  # whatever json.loads gives back; only contracts and resources look inside


class Mode(StrEnum):
    """How far a run may go (design: modes)."""

    OBSERVE = "observe"
    PROPOSE = "propose"
    ACT = "act"

    @property
    def rank(self) -> int:
        """Order of the modes: a request may ask for less than the ceiling, never for more."""
        return list(Mode).index(self)


class Kind(StrEnum):
    """A run changes something, or takes back what another run changed."""

    CHANGE = "change"
    UNDO = "undo"


class Trigger(StrEnum):
    """What started the execution. For a person it is a claim: CloudTrail proves it."""

    ALARM = "alarm"
    SWEEP = "sweep"
    PERSON = "person"
    PARENT = "parent"


class Severity(StrEnum):
    """Severity of the procedure in the operations runbook."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"


class OutcomeName(StrEnum):
    """The one way a run ended."""

    VERIFIED = "verified"
    PROPOSED = "proposed"
    REFUSED = "refused"
    DUPLICATE = "duplicate"
    HANDED_OVER = "handed_over"
    INEFFECTIVE = "ineffective"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"

    @property
    def green(self) -> bool:
        """Whether the execution ends in `Succeeded`."""
        return self in _GREEN


_GREEN = {
    OutcomeName.VERIFIED,
    OutcomeName.PROPOSED,
    OutcomeName.REFUSED,
    OutcomeName.DUPLICATE,
}


class Verdict(StrEnum):
    """Answer of a verification. No traffic is `inconclusive`, never `passed`."""

    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


class Decision(StrEnum):
    """What the plan comes to: a change, another runbook that has the remedy, or a person."""

    CHANGE = "change"
    DELEGATE = "delegate"
    HAND_OVER = "hand_over"


class Incident(Frozen):
    """The alarm that raised the run."""

    alarm_name: str
    alarm_arn: str
    changed_at: datetime
    reason: str = ""


class RunbookRequest(Frozen):
    """What an alarm event or a person asks for, decoded and checked against the runbook."""

    target: dict[str, str]
    parameters: dict[str, Json] = field(default_factory=dict)
    mode: Mode
    trigger: Trigger
    requested_by: str
    reason: str = ""
    undo: str | None = None
    event_id: str | None = None
    incident: Incident | None = None
    parent: str | None = None
    parent_execution_arn: str | None = None


class Execution(Frozen):
    """The Step Functions execution a run lives in."""

    arn: str
    name: str
    started_at: datetime


class Run(Frozen):
    """One run, as its record keeps it and as every step receives it.

    `lease_until` is when the lock on the target lapses: execution start, plus the machine's
    computed time-out, plus 60 s. It is never renewed, so no execution outlives it.

    `parent` is the run that started this one; where both work on the same target, `lock_owner` is
    the parent, and this run takes no lock of its own.
    """

    id: str
    runbook: str
    kind: Kind
    mode: Mode
    trigger: Trigger
    target: dict[str, str]
    target_arn: str
    parameters: dict[str, Json]
    reason: str
    requested_by: str
    execution: Execution
    lease_until: datetime
    limits: dict[str, int]
    options: dict[str, bool] = field(default_factory=dict)
    undoes: str | None = None
    event_id: str | None = None
    incident: Incident | None = None
    parent: str | None = None
    under_lock_of: str | None = None
    harmless: bool = False

    @property
    def lock_owner(self) -> str:
        """The run that holds the lock on the target while this one changes it."""
        return self.under_lock_of or self.id


class PlannedCall(Frozen):
    """One changing AWS call: what it sets, what is there now, and whether it can be taken back.

    `before` and `after` hold the same keys, and only what this call changes: comparing either with
    the present value says whether the call was made.
    """

    api: str
    resource: str
    arguments: dict[str, Json]
    before: dict[str, Json]
    after: dict[str, Json]
    reversible: bool = True

    def inverse(self) -> "PlannedCall":
        """The call that takes this one back."""
        return dataclasses.replace(self, arguments={}, before=self.after, after=self.before)


class ChildRequest(Frozen):
    """Another runbook that a run starts: instead of a change of its own, or before it."""

    runbook: str
    target: dict[str, str]
    reason: str


class Plan(Frozen):
    """What the run will do, or why a person has to.

    `child` is the runbook that a plan to delegate starts, and that a plan to change starts first.
    `then` are those that a plan to delegate starts after it, one at a time, while its symptom
    lasts.

    `evidence` are the measurements the decision rests on; they are not in the hash, so the same
    plan keeps its approval while the numbers move.

    `report`: nothing is wrong, and what was found is all there is to hand over. People get a note
    in every mode, not a page.
    """

    decision: Decision
    reason: str
    calls: list[PlannedCall] = field(default_factory=list)
    child: ChildRequest | None = None
    then: list[ChildRequest] = field(default_factory=list)
    evidence: dict[str, Json] = field(default_factory=dict)
    would_refuse: list[str] = field(default_factory=list)
    report: bool = False

    @property
    def children(self) -> list[ChildRequest]:
        """Every runbook that it may start, in order."""
        return [self.child, *self.then] if self.child is not None else []

    def hash(self, runbook: str, target_arn: str) -> str:
        """SHA-256 over runbook, target and each call's API, resource, arguments and `before`."""
        covered = {
            "runbook": runbook,
            "target": target_arn,
            "calls": [
                {"api": c.api, "resource": c.resource, "arguments": c.arguments, "before": c.before}
                for c in self.calls
            ],
        }
        if self.child is not None:
            covered["child"] = encode(self.child)
        if self.then:
            covered["then"] = encode(self.then)
        return hashlib.sha256(canonical_json(covered).encode()).hexdigest()


class Prepared(Frozen):
    """What `prepare` found and decided: the state before, and the plan."""

    snapshot: dict[str, Json]
    plan: Plan


class Company(Frozen):
    """The run whose remedy this one relies on: its child, or the open run that it joined.

    `next` is where this run goes from there: `wait`, `change`, `verify` or `finish`. `outcome` is
    absent while the other run is open.
    """

    run_id: str
    runbook: str
    joined: bool
    next: str
    reason: str
    outcome: OutcomeName | None = None


class CallResult(Frozen):
    """A call that was made, or did not have to be."""

    api: str
    resource: str
    before: dict[str, Json]
    after: dict[str, Json]
    already_applied: bool = False


class Change(Frozen):
    """What a changing step did; `applied_at` is when its last call was accepted."""

    calls: list[CallResult]
    applied_at: datetime


class Check(Frozen):
    """One measured condition of a verification."""

    name: str
    observed: float
    threshold: float
    samples: int
    passed: bool


class Verification(Frozen):
    """Whether the symptom is gone, and the numbers that say so."""

    verdict: Verdict
    reason: str
    checks: list[Check] = field(default_factory=list)


def canonical_json(value: Json) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Aware UTC time from ISO 8601, also in CloudWatch's form (`...+0000`)."""
    return datetime.fromisoformat(text).astimezone(UTC)


def encode(value: Json) -> Json:
    """JSON-ready copy of a contract (or of a list, dict or scalar of them)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {k: encode(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [encode(v) for v in value]
    return value


def decode(cls: type[T], data: Json, path: str = "") -> T:
    """Build a contract from JSON, strictly.

    Parameters
    ----------
    cls
        The frozen dataclass to build.
    data
        What `json.loads` gave.
    path
        Where `data` stands in the input; leads every message.

    Raises
    ------
    InvalidRequestError
        A field is unknown, missing or of the wrong type; the message names its path.
    """
    if not isinstance(data, dict):
        raise InvalidRequestError(f"{path or 'input'}: must be an object, got {_kind(data)}")
    if cls not in _hints:
        _hints[cls] = typing.get_type_hints(cls)
    hints = _hints[cls]
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - set(fields))
    if unknown:
        accepted = ", ".join(sorted(fields)) or "none"
        raise InvalidRequestError(
            f"{_join(path, unknown[0])}: unknown field; accepted are {accepted}"
        )
    values = {}
    for name, spec in fields.items():
        if name in data:
            values[name] = _value(hints[name], data[name], _join(path, name))
        elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
            raise InvalidRequestError(f"{_join(path, name)}: missing")
    return cls(**values)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _kind(value: Json) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "nothing" if value is None else names.get(type(value), "a number")


def _value(hint: Any, value: Json, path: str) -> Json:
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        arms = [a for a in typing.get_args(hint) if a is not type(None)]
        return None if value is None else _value(arms[0], value, path)
    if origin is list:
        if not isinstance(value, list):
            raise InvalidRequestError(f"{path}: must be a list, got {_kind(value)}")
        (arm,) = typing.get_args(hint)
        return [_value(arm, v, f"{path}[{i}]") for i, v in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise InvalidRequestError(f"{path}: must be an object, got {_kind(value)}")
        arm = typing.get_args(hint)[1]
        return {k: _value(arm, v, _join(path, k)) for k, v in value.items()}
    return _scalar(hint, value, path)


def _scalar(hint: Any, value: Json, path: str) -> Json:
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return decode(typing.cast("type[Any]", hint), value, path)
    if hint is datetime:
        return _time(value, path)
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            accepted = ", ".join(str(m.value) for m in hint)
            raise InvalidRequestError(f"{path}: {value!r} is not one of {accepted}") from None
    return _plain(hint, value, path)


def _time(value: Json, path: str) -> datetime:
    try:
        return parse_time(value)
    except (TypeError, ValueError):
        raise InvalidRequestError(f"{path}: {value!r} is not an ISO 8601 time") from None


def _plain(hint: type, value: Json, path: str) -> Json:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        wanted = {str: "a string", int: "a whole number", float: "a number", bool: "a boolean"}
        raise InvalidRequestError(f"{path}: must be {wanted[hint]}, got {_kind(value)}")
    return value

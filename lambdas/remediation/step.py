"""Steps: plain functions that declare what they call and raise, and get arguments by annotation.

`@step` notes the AWS calls and the errors; roles, the ASL check and the docs are derived from that.
`Run`, `Plan`, `Change`, `Attempt`, `Clock` and `Platform` come by type; a class with a `service`
gets its client.
"""

import functools
import inspect
import types
import typing
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from types import ModuleType
from typing import Any, TypeVar

from lambdas.remediation import clients
from lambdas.remediation.contracts import Change, Plan, Run
from lambdas.remediation.errors import RemediationError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.platform import Platform
from lambdas.remediation.platform import load as load_platform

F = TypeVar("F", bound=Callable[..., Any])


class Role(StrEnum):
    """Privilege of a function: the split makes IAM, not an `if`, enforce observe mode."""

    OBSERVE = "observe"
    CHANGE = "change"


class StepInfo(Frozen):
    """What `@step` declares: the single source for role, ASL check and docs."""

    name: str
    role: Role
    calls: tuple[str, ...]
    raises: tuple[type[RemediationError], ...]
    summary: str


class Attempt(Frozen):
    """Which look of a poll or verification loop this is (1-based), and whether it is the last."""

    number: int = 1
    final: bool = True


class Clock:
    """The time. Tests give their own."""

    def now(self) -> datetime:
        """Aware UTC time."""
        return datetime.now(UTC)


def step(
    role: Role,
    *,
    calls: typing.Sequence[str] = (),
    raises: typing.Sequence[type[RemediationError]] = (),
) -> Callable[[F], F]:
    """Declare a function as a step of its runbook.

    Parameters
    ----------
    role
        Function that runs it.
    calls
        IAM actions it needs, exactly.
    raises
        Errors it raises on purpose; a test proves that its state catches or retries each.
    """

    def mark(function: F) -> F:
        info = StepInfo(
            name=function.__name__,
            role=role,
            calls=tuple(calls),
            raises=tuple(raises),
            summary=(inspect.getdoc(function) or "").partition("\n")[0],
        )
        function.step = info  # type: ignore[attr-defined]
        return function

    return mark


def steps_of(module: ModuleType) -> dict[str, StepInfo]:
    """Every declared step of a runbook's `steps` module, by name."""
    return {
        name: value.step
        for name, value in vars(module).items()
        if isinstance(getattr(value, "step", None), StepInfo)
    }


@functools.cache
def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(function)
    hints.pop("return", None)
    return hints


def call_step(
    function: Callable[..., Any],
    *,
    run: Run | None = None,
    plan: Plan | None = None,
    change: Change | None = None,
    attempt: Attempt | None = None,
    clock: Clock | None = None,
) -> Any:
    """Call a step with the arguments its annotations ask for."""
    known: dict[Any, Any] = {
        Run: run,
        Plan: plan,
        Change: change,
        Attempt: attempt or Attempt(),
        Clock: clock or Clock(),
        Platform: load_platform(),
    }
    arguments = {}
    for name, hint in _annotations(function).items():
        kind = _first_arm(hint)
        arguments[name] = known[kind] if kind in known else resource(kind)
    return function(**arguments)


def _first_arm(hint: Any) -> Any:
    """The type in `T | None`."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(a for a in typing.get_args(hint) if a is not type(None))
    return hint


@functools.cache
def resource(kind: Any) -> Any:
    """A resource object on its boto3 client, one per process."""
    return kind(clients.client(kind.service))

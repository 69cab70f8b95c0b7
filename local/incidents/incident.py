"""What the demo needs to know of an incident: how to break, what to look at, when it is healed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self

PREFIX = "remediation"

#: Shows on the screen that something takes its time, for as long as the context is open.
Step = Callable[[str], AbstractContextManager[None]]


class IncidentError(RuntimeError):
    """The platform is not in the state that the incident begins with."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that has to be so for the incident to count as healed."""

    statement: str
    true: bool


class Incident(ABC):
    """A way to break the sample platform, as a context: what it does on and on ends on exit.

    Within the context first `prepare`, then `start`.

    Attributes
    ----------
    name
        As shown in the summary.
    runbook
        The runbook that has to heal it.
    joining_runbooks
        Runbooks that alarms of the same cause start too; they have to join the run that heals.
    alarm_names
        The alarms that have to go red by themselves; the first is waited for.
    story
        What is done to the platform, and what of it the demo makes instead of the engine.

    Parameters
    ----------
    client
        Gives the boto3 client of a service, bound to the engine.
    """

    name: ClassVar[str]
    runbook: ClassVar[str]
    joining_runbooks: ClassVar[tuple[str, ...]] = ()
    alarm_names: ClassVar[tuple[str, ...]]
    story: ClassVar[str]

    def __init__(self, client: Callable[[str], Any]) -> None:
        self.client = client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @classmethod
    def machine_name(cls) -> str:
        """Name of the state machine of the runbook."""
        return machine_name(cls.runbook)

    @classmethod
    def machine_names(cls) -> tuple[str, ...]:
        """Names of all state machines that have to run, the healing one first."""
        return tuple(machine_name(runbook) for runbook in (cls.runbook, *cls.joining_runbooks))

    def prepare(self, step: Step) -> None:  # noqa: B027 - most need nothing
        """Bring about what AWS would have had for long before anything broke; by default nothing.

        Raises
        ------
        IncidentError
            If that cannot be done: the platform is not healthy, or the product does not answer.
        """

    @abstractmethod
    def values(self) -> dict[str, str]:
        """Read, from the platform itself, the values the runbook is expected to change."""

    @abstractmethod
    def start(self) -> None:
        """Break the platform and begin to make its symptom."""

    @abstractmethod
    def stop(self) -> None:
        """Stop making the symptom; raise what went wrong while it was made."""

    @abstractmethod
    def findings(self) -> list[Finding]:
        """Say whether the cause is gone; the platform is asked, not the run."""


def machine_name(runbook: str) -> str:
    """Name of the state machine of a runbook."""
    return f"{PREFIX}-{runbook.replace('_', '-')}"

"""What the demo needs to know of an incident: how to break, what to look at, when it is healed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self

PREFIX = "remediation"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that has to be so for the incident to count as healed."""

    statement: str
    true: bool


class Incident(ABC):
    """A way to break the sample platform, as a context: broken on entry, left alone on exit.

    Attributes
    ----------
    name
        As shown in the summary.
    runbook
        The runbook that has to heal it.
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
    alarm_names: ClassVar[tuple[str, ...]]
    story: ClassVar[str]

    def __init__(self, client: Callable[[str], Any]) -> None:
        self.client = client

    def __enter__(self) -> Self:
        self.start()
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
        return f"{PREFIX}-{cls.runbook.replace('_', '-')}"

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

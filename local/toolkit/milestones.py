"""When a run reached what an operator asks for: guarded, planned, changed, verified, held."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from local.toolkit.history import Visit

BEGIN = "Begin"
PREPARE = "Prepare"
VERIFY = "Verify"
WATCH_HOLD = "WatchHold"


@dataclass(frozen=True, kw_only=True)
class Milestones:
    """Moments of one execution; nothing where it did not get that far."""

    guarded: datetime | None = None
    prepared: datetime | None = None
    changed: datetime | None = None
    verified: datetime | None = None
    held: datetime | None = None


NOT_REACHED = Milestones()


def milestones(visits: Sequence[Visit], own_states: Collection[str]) -> Milestones:
    """Read the moments out of the state visits of one execution.

    Parameters
    ----------
    visits
        All visits, oldest first.
    own_states
        Names of the runbook's own states: the ones that change something.
    """
    verifying = next((i for i, v in enumerate(visits) if v.name == VERIFY), len(visits))
    own = [v for v in visits[:verifying] if v.name in own_states]
    return Milestones(
        guarded=_last_exit([v for v in visits if v.name == BEGIN][:1]),
        prepared=_last_exit([v for v in visits if v.name == PREPARE]),
        changed=_last_exit(own),
        verified=_last_exit([v for v in visits if v.name == VERIFY]),
        held=_last_exit([v for v in visits if v.name == WATCH_HOLD]),
    )


def _last_exit(visits: Sequence[Visit]) -> datetime | None:
    return visits[-1].exited if visits else None

"""Which release each target had, and when: Lambda and API Gateway keep no such history.

A poll every few minutes notes what is current and whether its alarm was red (`LEDGER#<arn>` in the
run table). From that follows what nothing else can tell: that a release is new, and which one
before it was good.
"""

import dataclasses
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from lambdas.remediation.contracts import decode, encode
from lambdas.remediation.errors import ThrottledError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.records import RECORD_SECONDS, Item, RunTable, epoch
from lambdas.remediation.settings import settings

MAX_SEEN = 20
_TRIES = 5


class Seen(Frozen):
    """One stay of a release: from when it was current until the next one was.

    `last_good` is the last poll that found it current and its alarm not red; `by_run` is the run
    of ours that made it current; `bad` says that going away from it healed the target.
    """

    value: str
    since: datetime
    last_good: datetime | None = None
    bad: bool = False
    by_run: str | None = None


class Release(Frozen):
    """What the ledger knows about the current release of a target.

    Parameters
    ----------
    known
        False: the ledger is empty, which is no evidence of anything.
    recent
        It became current within the look-back, or since the last poll, and not by a run of ours.
    previous_good
        The last one before it that was seen without alarm, and was not found bad.
    by_run
        The run of ours that made it current within the look-back.
    """

    current: str
    known: bool
    recent: bool = False
    previous_good: str | None = None
    since: datetime | None = None
    by_run: str | None = None


def release(
    seen: Sequence[Seen], current: str, *, now: datetime, look_back_seconds: int
) -> Release:
    """Compare what is current with what the ledger has seen."""
    if not seen:
        return Release(current=current, known=False)
    last = seen[-1]
    unseen = last.value != current
    new = unseen or last.since >= now - timedelta(seconds=look_back_seconds)
    bad = {s.value for s in seen if s.bad}
    good = [s.value for s in seen if s.last_good and s.value not in bad and s.value != current]
    return Release(
        current=current,
        known=True,
        # Where the ledger begins, nobody knows since when its first entry is there.
        recent=new and (unseen or (last.by_run is None and len(seen) > 1)),
        previous_good=good[-1] if good else None,
        since=None if unseen else last.since,
        by_run=last.by_run if new and not unseen else None,
    )


class ReleaseLedger:
    """Reads and writes the ledger, which is part of the run table.

    Parameters
    ----------
    client
        Client of DynamoDB.
    """

    service: ClassVar[str] = "dynamodb"

    def __init__(self, client: Any) -> None:
        self._table = RunTable(client, settings().run_table_name)

    def read(self, arn: str) -> tuple[Seen, ...]:
        """What was seen of a target, oldest first; empty if it never was."""
        return _seen(self._table.get(f"LEDGER#{arn}"))

    def note(self, arn: str, current: str, *, healthy: bool, now: datetime) -> None:
        """Note what a poll found.

        Parameters
        ----------
        healthy
            No alarm of the target is red.
        """

        def noted(seen: tuple[Seen, ...]) -> tuple[Seen, ...]:
            last = seen[-1] if seen and seen[-1].value == current else None
            stay = last or Seen(value=current, since=now)
            if healthy:
                stay = dataclasses.replace(stay, last_good=now)
            return (*(seen[:-1] if last else seen), stay)

        self._write(arn, noted, now)

    def note_own_move(
        self, arn: str, *, bad: str, current: str, run_id: str, now: datetime
    ) -> None:
        """Note that a run went from a bad release to another one, and that this helped."""

        def noted(seen: tuple[Seen, ...]) -> tuple[Seen, ...]:
            if seen and seen[-1].by_run == run_id:
                return seen
            marked = [dataclasses.replace(s, bad=True) if s.value == bad else s for s in seen]
            if not any(s.value == bad for s in marked):
                marked.append(Seen(value=bad, since=now, bad=True))
            # A poll between the move and its proof has seen it first.
            if marked[-1].value == current:
                marked.pop()
            return (*marked, Seen(value=current, since=now, last_good=now, by_run=run_id))

        self._write(arn, noted, now)

    def _write(self, arn: str, change: Any, now: datetime) -> None:
        for _ in range(_TRIES):
            item = self._table.get(f"LEDGER#{arn}")
            before = _seen(item)
            after = change(before)[-MAX_SEEN:]
            if after == before:
                return
            number = item.get("revision", 0)
            written = self._table.update(
                f"LEDGER#{arn}",
                values={
                    "seen": encode(list(after)),
                    "revision": number + 1,
                    "expires_at": epoch(now) + RECORD_SECONDS,
                },
                condition="attribute_not_exists(revision) OR revision = :old",
                given={"old": number},
            )
            if written:
                return
        raise ThrottledError(f"the ledger of {arn} is being written by others, try again")


def _seen(item: Item) -> tuple[Seen, ...]:
    return tuple(decode(Seen, one) for one in json.loads(item.get("seen", "[]")))

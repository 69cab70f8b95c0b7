"""Changes of other runs that a deployment might undo: those under way, and those that stand."""

from typing import Any, ClassVar

from lambdas.remediation.frozen import Frozen
from lambdas.remediation.platform import Platform
from lambdas.remediation.records import MITIGATED, OPEN, RunTable, record_of
from lambdas.remediation.settings import settings


class StandingRun(Frozen):
    """A run whose change is in force, or may be any moment.

    Parameters
    ----------
    under_way
        It is changing its target now.
    undo
        Command that takes the change back; empty while it is under way.
    """

    run_id: str
    runbook: str
    target: dict[str, str]
    under_way: bool = False
    undo: str = ""

    def names(self, platform: Platform) -> frozenset[str]:
        """Names by which a stack may hold the run's target."""
        found = set(self.target.values())
        for api in platform.apis:
            if api.api_name == self.target.get("api_name"):
                found |= {api.api_id, api.stage}
        return frozenset(found)


class StandingRuns:
    """Reads the open index of the run table. It lists a change until its lease is due.

    Parameters
    ----------
    client
        Client of DynamoDB.
    """

    service: ClassVar[str] = "dynamodb"

    def __init__(self, client: Any) -> None:
        self._table = RunTable(client, settings().run_table_name)

    def read(self) -> tuple[StandingRun, ...]:
        """Runs that hold their target's lock, then those whose change stands; oldest first."""
        found = []
        for kind in (OPEN, MITIGATED):
            for item in self._table.listed(kind):
                record = record_of(item)
                if record.run is None or (kind == OPEN and not record.claimed):
                    continue
                undo = (record.answer or {}).get("undo") or {}
                found.append(
                    StandingRun(
                        run_id=record.run_id,
                        runbook=record.run.runbook,
                        target=record.run.target,
                        under_way=kind == OPEN,
                        undo=undo.get("command", ""),
                    )
                )
        return tuple(found)

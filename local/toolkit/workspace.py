"""The folder ``.local`` of the repository, where everything a local run writes goes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
WORKSPACE = REPOSITORY / ".local"
PLATFORM_FILE = WORKSPACE / "platform.json"
ENVIRONMENT_FILE = WORKSPACE / "env"
LOGS = WORKSPACE / "logs"


class WorkspaceInUseError(RuntimeError):
    """Another local run works in ``.local``."""


@contextmanager
def claimed_workspace(workspace: Path = WORKSPACE) -> Iterator[Path]:
    """Hold ``.local`` for one run: two would deploy from each other's templates.

    Raises
    ------
    WorkspaceInUseError
        With the process id of the run that holds it.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    with (workspace / "lock").open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise WorkspaceInUseError(
                f"{workspace.name}/ is in use by process {holder}: end that `make local` or "
                "`make demo` first"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield workspace

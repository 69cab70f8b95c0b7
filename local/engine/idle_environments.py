"""A function's environment that nobody uses is given up after a while, the last one too.

MiniStack keeps one process a function for ever. A product of nineteen runbooks has forty functions:
with a few engines at work, their idle processes fill the memory of a small machine.
"""

from __future__ import annotations

import time

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

PATCHES: tuple[str, ...] = (
    "ministack.core.lambda_runtime._lock",
    "ministack.core.lambda_runtime._workers",
    "ministack.core.lambda_runtime.kill_workers",
    "ministack.services.lambda_svc.reap_idle_workers",
)
#: Longer than a run waits between two looks, so that a run stays warm.
IDLE_SECONDS = 120.0


def install() -> None:
    """Take the place of MiniStack's reaper, which looks every 30 seconds."""
    lambda_svc.reap_idle_workers = give_up_idle


def give_up_idle(ttl: float | None = None) -> int:
    """End every process that has been idle for longer than `ttl` seconds; gives how many."""
    since = time.time() - (IDLE_SECONDS if ttl is None else ttl)
    idle = []
    with lambda_runtime._lock:
        for key, workers in list(lambda_runtime._workers.items()):
            kept = [w for w in workers if w.in_use or w.last_used > since]
            idle += [w for w in workers if w not in kept]
            if kept:
                lambda_runtime._workers[key] = kept
            else:
                del lambda_runtime._workers[key]
    lambda_runtime.kill_workers(idle)
    return len(idle)

"""Signals end a local run like Ctrl-C: with everything taken down."""

from __future__ import annotations

import signal


def interrupt_on_signals() -> None:
    """Turn SIGTERM and SIGINT into ``KeyboardInterrupt`` in the main thread.

    SIGINT too: a shell script starts its background commands with it ignored.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt

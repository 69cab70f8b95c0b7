"""Many findings read at the same time; what cannot be read is unknown, never a reason to act."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
# Below the 10 connections that a client keeps, and enough for two rounds at most.
_READERS = 8
# The function has 30 s: a finding that takes longer is unknown.
_DIAGNOSIS_SECONDS = 15
_MAX_WHY = 200


class Diagnosis:
    """Findings that are read at the same time; one that fails or takes too long is unknown."""

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self._pool = ThreadPoolExecutor(max_workers=_READERS)
        self._open: dict[Future[Any], str] = {}
        self._answers: dict[Future[Any], Any] = {}

    def __enter__(self) -> "Diagnosis":
        return self

    def __exit__(self, *_: object) -> None:
        # A read that hangs is not waited for.
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __call__(
        self, name: str, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> "Future[T]":
        """Start to read a finding."""
        future = self._pool.submit(read, *args, **kwargs)
        self._open[future] = name
        return future

    def settle(self) -> None:
        """Wait for all that was asked, up to the limit."""
        done, _ = wait(self._open, timeout=_DIAGNOSIS_SECONDS)
        for future, name in self._open.items():
            error = future.exception() if future in done else TimeoutError("took too long")
            self._answers[future] = None if error else future.result()
            if error is not None:
                self.unknown.append(f"{name}: {type(error).__name__}: {error}"[:_MAX_WHY])
        self._open = {}

    def answer(self, future: "Future[T]") -> T | None:
        """What was read; None if it is unknown."""
        found: T | None = self._answers[future]
        return found

"""An exception is one event in a function's log, in the form of the AWS runtime for Python.

MiniStack stores Python's traceback, one event per line, so nothing that reads the log finds out
what was raised. AWS writes ``[ERROR] KeyError: 'x'``, the traceback below it without the runtime's
own frame, indented by no-break spaces, all as one event.
"""

from __future__ import annotations

import threading
from typing import Any, SupportsIndex

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

PATCHES: tuple[str, ...] = (
    "ministack.core.lambda_runtime._PYTHON_WORKER_SCRIPT",
    "ministack.core.lambda_runtime.Worker.invoke",
    "ministack.services.lambda_svc._emit_lambda_logs",
    "ministack.services.lambda_svc._execute_function_warm",
)

_TRACE = '"trace": traceback.format_exc()'
# The first frame is the worker's own.
_TRACE_AND_FRAMES = f'{_TRACE}, "frames": traceback.format_tb(e.__traceback__)[1:]'
_INDENT = "\u00a0\u00a0"

_last_event = threading.local()


class _Log(str):
    """A function's log whose last event has several lines: MiniStack splits a log into events."""

    events: list[str]

    def splitlines(self, keepends: SupportsIndex = False) -> list[str]:
        return list(self.events)


def install() -> None:
    """Have workers tell the frames, and put the event in place of the traceback."""
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if script.count(_TRACE) != 1:
        raise RuntimeError(
            "ministack.core.lambda_runtime._PYTHON_WORKER_SCRIPT no longer replies with "
            f"{_TRACE}: adapt local/engine/error_logs.py"
        )
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(_TRACE, _TRACE_AND_FRAMES)
    invoke = lambda_runtime.Worker.invoke
    execute = lambda_svc._execute_function_warm

    def invoke_and_word_error(worker: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        reply: dict[str, Any] = invoke(worker, *args, **kwargs)
        if "frames" in reply:
            reply["trace"] = _last_event.text = error_event(
                reply.get("error_type", "Error"), reply["error"], reply["frames"]
            )
        return reply

    def execute_with_error_event(func: dict[str, Any], event: Any, request_id: str) -> Any:
        _last_event.text = ""
        result = execute(func, event, request_id)
        text = _last_event.text
        if text and result.get("log", "").endswith(text):
            result["log"] = _with_last_event(result["log"], text)
        return result

    lambda_runtime.Worker.invoke = invoke_and_word_error
    lambda_svc._execute_function_warm = execute_with_error_event


def error_event(error_type: str, message: str, frames: list[str]) -> str:
    """Word an exception as the AWS runtime does."""
    first = f"[ERROR] {error_type}: {message}" if message else f"[ERROR] {error_type}"
    lines = [first, "Traceback (most recent call last):"]
    for frame in frames:
        for line in frame.splitlines():
            text = line.lstrip(" ")
            lines.append(_INDENT * ((len(line) - len(text)) // 2) + text)
    return "\n".join(lines)


def _with_last_event(log: str, event: str) -> _Log:
    whole = _Log(log)
    whole.events = [*log[: -len(event)].splitlines(), event]
    return whole

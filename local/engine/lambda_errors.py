"""Lambda reports the class of a raised exception as ``errorType``, a throttle as an error.

MiniStack answers ``Runtime.HandlerError`` for every exception, so a ``Catch`` by class name never
matches, and a state machine sees ``Lambda.Unknown`` when the function is throttled. The class
comes from the exception object itself: chained exceptions report the one raised last, as on AWS,
and no message, however many lines it has, can be taken for another class.

It also ends the function's process after an exception. On AWS the environment lives on and serves
the next call warm, so here it does too: a release that fails on every request must not cost a cold
start for each.
"""

from __future__ import annotations

import threading
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc, stepfunctions

PATCHES: tuple[str, ...] = (
    "ministack.core.lambda_runtime._PYTHON_WORKER_SCRIPT",
    "ministack.core.lambda_runtime.Worker.invoke",
    "ministack.services.lambda_svc._execute_function_warm",
    "ministack.services.stepfunctions._call_lambda",
    "ministack.services.stepfunctions._ExecutionError",
)

_REPLY = '"status": "error", "error": str(e), "trace": traceback.format_exc()'
# MiniStack kills a worker that replies "error"; one whose handler raised says so apart.
_RAISED_REPLY = (
    '"status": "ok", "raised": True, "error_type": type(e).__name__, '
    '"error": str(e), "trace": traceback.format_exc()'
)
_GENERIC_TYPE = "Runtime.HandlerError"

_last_reply = threading.local()


def install() -> None:
    """Have workers tell the class, and put it into the answer."""
    _have_workers_tell_the_class()
    _answer_with_the_class()
    _name_throttles_in_state_machines()


def _have_workers_tell_the_class() -> None:
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if script.count(_REPLY) != 1:
        raise RuntimeError(
            "ministack.core.lambda_runtime._PYTHON_WORKER_SCRIPT no longer replies with "
            f"{_REPLY}: adapt local/engine/lambda_errors.py"
        )
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(_REPLY, _RAISED_REPLY)


def _answer_with_the_class() -> None:
    invoke = lambda_runtime.Worker.invoke
    execute = lambda_svc._execute_function_warm

    def remember_reply(worker: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        _last_reply.error_type = None
        reply: dict[str, Any] = invoke(worker, *args, **kwargs)
        if reply.pop("raised", False):
            reply["status"] = "error"
        _last_reply.error_type = reply.get("error_type")
        return reply

    def execute_typed(func: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        _last_reply.error_type = None
        result: dict[str, Any] = execute(func, event, request_id)
        body = result.get("body")
        error_type = _last_reply.error_type
        if result.get("error") and error_type and isinstance(body, dict):
            if body.get("errorType") == _GENERIC_TYPE:
                body["errorType"] = error_type
            body.setdefault("requestId", request_id)
        return result

    lambda_runtime.Worker.invoke = remember_reply
    lambda_svc._execute_function_warm = execute_typed


def _name_throttles_in_state_machines() -> None:
    call = stepfunctions._call_lambda

    def call_naming_throttles(function: str, event: Any) -> Any:
        try:
            return call(function, event)
        except stepfunctions._ExecutionError as error:
            if error.error == "Lambda.Unknown" and "TooManyRequestsException" in error.cause:
                raise stepfunctions._ExecutionError(
                    "Lambda.TooManyRequestsException", error.cause
                ) from None
            raise

    stepfunctions._call_lambda = call_naming_throttles

"""Step Functions executions end as on AWS, and their states keep AWS's scopes.

Restored: the machine's ``TimeoutSeconds`` (``TIMED_OUT`` and its event), an ended execution that
stays as it ended, ``TimeoutSeconds`` and ``HeartbeatSeconds`` as JSONata, children of ``.sync``
tasks (events of their own, stopped with their parent, failing it with ``States.TaskFailed``), the
idempotent start, ``Arguments``, ``Output`` and ``Assign`` of a Parallel, variables that stay in
their branch, and the ``AWS/States`` metrics.

Timeouts run in real time: ``SFN_WAIT_SCALE`` does not shrink them. A heartbeat is a shorter
timeout here: beats do not extend it.
"""

from __future__ import annotations

import contextvars
import copy
import json
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.core.responses import json_response, now_iso
from ministack.services import cloudwatch, stepfunctions

PATCHES: tuple[str, ...] = (
    "ministack.core.responses.json_response",
    "ministack.core.responses.now_iso",
    "ministack.services.cloudwatch.record_metric",
    "ministack.services.stepfunctions._ExecutionError",
    "ministack.services.stepfunctions._add_event",
    "ministack.services.stepfunctions._apply_catcher",
    "ministack.services.stepfunctions._apply_jsonata_arguments",
    "ministack.services.stepfunctions._apply_jsonata_output",
    "ministack.services.stepfunctions._apply_jsonata_template",
    "ministack.services.stepfunctions._apply_state_assign",
    "ministack.services.stepfunctions._emit_execution_status_event",
    "ministack.services.stepfunctions._execute_task",
    "ministack.services.stepfunctions._executions",
    "ministack.services.stepfunctions._fail_execution",
    "ministack.services.stepfunctions._find_matching_catcher",
    "ministack.services.stepfunctions._invoke_nested_start_execution_sync",
    "ministack.services.stepfunctions._invoke_resource_with_timeout",
    "ministack.services.stepfunctions._nested_start_execution_request",
    "ministack.services.stepfunctions._resolve_state_machine_arn",
    "ministack.services.stepfunctions._run_execution",
    "ministack.services.stepfunctions._run_parallel_branches",
    "ministack.services.stepfunctions._run_sub_machine",
    "ministack.services.stepfunctions._start_execution",
    "ministack.services.stepfunctions._state_machines",
    "ministack.services.stepfunctions._state_query_language",
    "ministack.services.stepfunctions._stop_execution",
)

Execution = dict[str, Any]

_POLL_SECONDS = 0.02
_METRICS = {
    "RUNNING": "ExecutionsStarted",
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "ABORTED": "ExecutionsAborted",
    "TIMED_OUT": "ExecutionsTimedOut",
}

# The execution whose states this thread runs, and whether its task has been given up since.
_running: contextvars.ContextVar[Execution | None] = contextvars.ContextVar(
    "running_execution", default=None
)
_given_up: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar(
    "task_given_up", default=None
)


class ExecutionEndedError(Exception):
    """A branch goes on although its execution has ended; nothing may catch this."""


def running_execution() -> Execution | None:
    """Return the execution whose state the calling thread runs."""
    return _running.get()


def install() -> None:
    """Wrap how executions start, end, time out and run their branches."""
    _keep_how_an_execution_ended()
    _time_out_machines()
    _evaluate_task_timeouts()
    _give_up_timed_out_tasks()
    _run_children_as_executions()
    _start_idempotently()
    _honour_fields_of_parallel()
    _keep_variables_in_their_branch()
    _record_metrics()


def _keep_how_an_execution_ended() -> None:
    fail = stepfunctions._fail_execution

    def fail_running(execution: Execution, error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            fail(execution, error, cause)

    stepfunctions._fail_execution = fail_running


def _time_out_machines() -> None:
    run = stepfunctions._run_execution

    def run_with_time_limit(execution_arn: str) -> None:
        execution = stepfunctions._executions.get(execution_arn)
        machine = execution and stepfunctions._state_machines.get(execution["stateMachineArn"])
        if not machine:
            run(execution_arn)
            return
        _running.set(execution)
        limit = json.loads(machine["definition"]).get("TimeoutSeconds")
        timer = None
        if limit is not None:
            # The timer's thread needs this thread's account and Region.
            expire = contextvars.copy_context().run
            timer = threading.Timer(limit, expire, (_time_out, execution))
            timer.daemon = True
            timer.start()
        try:
            run(execution_arn)
        finally:
            if timer is not None:
                timer.cancel()

    stepfunctions._run_execution = run_with_time_limit


def _time_out(execution: Execution) -> None:
    if execution["status"] != "RUNNING":
        return
    execution.update(status="TIMED_OUT", stopDate=now_iso(), error="States.Timeout", cause=None)
    details = {"executionTimedOutEventDetails": {"error": "States.Timeout"}}
    stepfunctions._add_event(execution, "ExecutionTimedOut", details)
    stepfunctions._emit_execution_status_event(execution)


def _evaluate_task_timeouts() -> None:
    execute = stepfunctions._execute_task

    def execute_with_numbers(
        state: dict[str, Any], raw_input: Any, execution: Execution | None, ctx: dict[str, Any]
    ) -> Any:
        if execution is not None and execution["status"] != "RUNNING":
            raise ExecutionEndedError(execution["executionArn"])
        try:
            limits = [
                stepfunctions._apply_jsonata_template(state[field], raw_input, ctx)
                for field in ("TimeoutSeconds", "HeartbeatSeconds")
                if field in state
            ]
        except stepfunctions._ExecutionError as error:
            return _caught(state, error, raw_input, ctx)
        if limits:
            state = {**state, "TimeoutSeconds": min(limits)}
        return execute(state, raw_input, execution, ctx)

    stepfunctions._execute_task = execute_with_numbers


def _caught(state: dict[str, Any], error: Any, raw_input: Any, ctx: dict[str, Any]) -> Any:
    """Leave a state by its Catch, or raise again."""
    catcher = stepfunctions._find_matching_catcher(state.get("Catch", []), error.error)
    if catcher is None:
        raise error
    language = stepfunctions._state_query_language(state, ctx)
    details = {"Error": error.error, "Cause": error.cause}
    output = stepfunctions._apply_catcher(catcher, raw_input, ctx, language, details)
    return output, catcher["Next"]


def _give_up_timed_out_tasks() -> None:
    invoke = stepfunctions._invoke_resource_with_timeout

    def invoke_with_signal(resource: str, arguments: Any, timeout: float) -> Any:
        given_up = threading.Event()
        token = _given_up.set(given_up)
        try:
            return invoke(resource, arguments, timeout)
        except stepfunctions._ExecutionError as error:
            if error.error == "States.Timeout":
                given_up.set()
            raise
        finally:
            _given_up.reset(token)

    stepfunctions._invoke_resource_with_timeout = invoke_with_signal


def _run_children_as_executions() -> None:
    def start_and_wait(resource: str, arguments: dict[str, Any]) -> dict[str, Any]:
        request = stepfunctions._nested_start_execution_request(arguments)
        status, _, body = stepfunctions._start_execution(request)
        answer = json.loads(body)
        if status >= 400:
            raise stepfunctions._ExecutionError(
                f"StepFunctions.{answer.get('__type', 'SfnException')}", answer.get("message", "")
            )
        child = stepfunctions._executions[answer["executionArn"]]
        _wait_for_child(child)
        description = _describe_child(child, parsed=resource.endswith(":2"))
        if child["status"] != "SUCCEEDED":
            raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(description))
        return description

    stepfunctions._invoke_nested_start_execution_sync = start_and_wait


def _wait_for_child(child: Execution) -> None:
    parent, given_up = _running.get(), _given_up.get()
    while child["status"] == "RUNNING":
        parent_ended = parent is not None and parent["status"] != "RUNNING"
        if parent_ended or (given_up is not None and given_up.is_set()):
            stepfunctions._stop_execution({"executionArn": child["executionArn"]})
            return
        time.sleep(_POLL_SECONDS)


def _describe_child(child: Execution, *, parsed: bool) -> dict[str, Any]:
    output = child["output"] if child["status"] == "SUCCEEDED" else None
    description = {
        "ExecutionArn": child["executionArn"],
        "Input": child["input"],
        "InputDetails": {"Included": True},
        "Name": child["name"],
        "StartDate": child["startDate"],
        "StateMachineArn": child["stateMachineArn"],
        "Status": child["status"],
        "StopDate": child["stopDate"],
    }
    if output is not None:
        description["Output"] = json.loads(output) if parsed else output
        description["OutputDetails"] = {"Included": True}
    for field in ("error", "cause"):
        if child.get(field):
            description[field.capitalize()] = child[field]
    return description


def _start_idempotently() -> None:
    """The same name and input again, while it runs, is the same execution."""
    start = stepfunctions._start_execution

    def start_once(data: dict[str, Any]) -> Any:
        machine = stepfunctions._resolve_state_machine_arn(data.get("stateMachineArn", ""))
        for execution in list(stepfunctions._executions.values()) if data.get("name") else ():
            if (
                execution["name"] == data["name"]
                and execution["stateMachineArn"] == machine
                and execution["status"] == "RUNNING"
                and execution["input"] == data.get("input", "{}")
            ):
                return json_response(
                    {
                        "executionArn": execution["executionArn"],
                        "startDate": execution["startDate"],
                    }
                )
        return start(data)

    stepfunctions._start_execution = start_once


def _honour_fields_of_parallel() -> None:
    run_branches = stepfunctions._run_parallel_branches

    def run_with_fields(
        state: dict[str, Any], raw_input: Any, execution: Execution, ctx: dict[str, Any]
    ) -> Any:
        if stepfunctions._state_query_language(state, ctx) != "JSONata":
            return run_branches(state, raw_input, execution, ctx)
        arguments = stepfunctions._apply_jsonata_arguments(state, raw_input, ctx)
        own_state = ctx["State"]
        results, following = run_branches(state, arguments, execution, ctx)
        ctx["State"] = own_state
        output = stepfunctions._apply_jsonata_output(
            state, raw_input, ctx, result=results, default=results
        )
        stepfunctions._apply_state_assign(state, raw_input, ctx, result=results)
        return output, following

    stepfunctions._run_parallel_branches = run_with_fields


def _keep_variables_in_their_branch() -> None:
    run: Callable[..., Any] = stepfunctions._run_sub_machine

    def run_in_own_scope(
        states: dict[str, Any], start: str, data: Any, execution: Execution, ctx: dict[str, Any]
    ) -> Any:
        # A branch sees the outer variables; what it assigns, and its State, stay its own.
        scope = {**ctx, "variables": copy.deepcopy(ctx.get("variables", {}))}
        return run(states, start, data, execution, scope)

    stepfunctions._run_sub_machine = run_in_own_scope


def _record_metrics() -> None:
    emit = stepfunctions._emit_execution_status_event

    def emit_and_record(execution: Execution) -> None:
        emit(execution)
        if not execution.get("sync"):
            dimensions = {"StateMachineArn": execution["stateMachineArn"]}
            name = _METRICS[execution["status"]]
            cloudwatch.record_metric("AWS/States", name, 1, "Count", dimensions)

    stepfunctions._emit_execution_status_event = emit_and_record

"""Keep the local AWS up until Ctrl-C: ``python -m local.serve``."""

from __future__ import annotations

import argparse
import json
import signal
import sys

from local.incidents.catalog import INCIDENTS
from local.incidents.throttled_table import ThrottledTable
from local.sample_platform import names
from local.toolkit.console import Console
from local.toolkit.deployment import SETUP_ERRORS, LocalStack, local_stack
from local.toolkit.environment_file import (
    environment_text,
    machine_variable,
    write_environment_file,
)
from local.toolkit.interrupts import interrupt_on_signals
from local.toolkit.workspace import ENVIRONMENT_FILE, REPOSITORY


def main() -> int:
    """Serve until SIGINT or SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.serve", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="engine's port (default: a free one)")
    arguments = parser.parse_args()
    interrupt_on_signals()
    console = Console()
    try:
        with local_stack(console, port=arguments.port) as stack:
            try:
                _write_environment(stack)
                _usage(console, stack)
                while True:
                    signal.pause()
            finally:
                ENVIRONMENT_FILE.unlink(missing_ok=True)
    except SETUP_ERRORS as error:
        console.line(f"Stopped: {error}", style="red")
        return 1
    except KeyboardInterrupt:
        console.line("Stopped.")
        return 0


def _write_environment(stack: LocalStack) -> None:
    environment = {**stack.engine.environment, "CHAT_URL": stack.chat_url}
    text = environment_text(environment, stack.outputs, stack.machines)
    write_environment_file(ENVIRONMENT_FILE, text)


def _usage(console: Console, stack: LocalStack) -> None:
    machine = f'"${machine_variable(ThrottledTable.machine_name())}"'
    target = {"target": {"table_name": names.MESSAGE_TABLE}}
    console.heading(f"Serving on {stack.engine.url} until Ctrl-C. In another shell:")
    _command(console, "bind the AWS CLI to it", f". {ENVIRONMENT_FILE.relative_to(REPOSITORY)}")
    _command(
        console,
        "use the sample platform",
        """curl "$CHAT_URL" --data '{"chatSessionId": "s1", "message": "hello"}'""",
    )
    for kind in INCIDENTS:
        _command(
            console,
            f"{kind.name}: break it until its alarm goes red by itself, and see it heal",
            f"python -m local.incidents {kind.name.lower().replace(' ', '-')}",
        )
    _command(
        console,
        "an alarm without a symptom: refused, and nothing is changed",
        "aws cloudwatch set-alarm-state --state-value ALARM --state-reason drill "
        f"--alarm-name {ThrottledTable.alarm_names[0]}",
    )
    _start(console, "ask what it would do (observe)", machine, {**target, "mode": "observe"})
    _start(console, "act", machine, {**target, "reason": "OPS-123"})
    _start(console, "a bad input: refused, with an example", machine, {})
    _start(
        console,
        "undo a run, a minute after its load has ended",
        machine,
        {"undo": "dynamodb-throttling:<execution name>", "reason": "was a load test"},
    )
    _command(
        console,
        "read the answer",
        'aws stepfunctions describe-execution --query "[status,error,output,cause]" '
        "--execution-arn <arn>",
    )
    _command(console, "see every run", 'aws dynamodb scan --table-name "$RUN_TABLE_NAME"')
    console.line()


def _start(console: Console, what: str, machine: str, request: dict[str, object]) -> None:
    command = f"aws stepfunctions start-execution --state-machine-arn {machine}"
    _command(console, what, f"{command} --input '{json.dumps(request)}'")


def _command(console: Console, what: str, command: str) -> None:
    console.line()
    console.line(f"  # {what}", style="dim")
    console.command(command, indent="  ")


if __name__ == "__main__":
    sys.exit(main())

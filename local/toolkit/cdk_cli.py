"""The real CDK CLI, run against the engine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from local.toolkit.workspace import LOGS, REPOSITORY, WORKSPACE

# What `npx cdk` runs, without npx: it would go to the registry for a CLI that is not installed.
CDK = REPOSITORY / "node_modules" / ".bin" / "cdk"

_SHOWN_LINES = 40
_BANNER = "b'!!"
_STOP_SECONDS = 5


class CdkError(RuntimeError):
    """The CDK CLI is missing or failed; the message ends with what it printed."""


class CdkCli:
    """Runs CLI commands, each with a log file of its own.

    Parameters
    ----------
    environment
        All variables the CLI gets (``loopback.bound_environment``).
    logs
        Folder of the log files, named after the command.
    """

    def __init__(self, environment: Mapping[str, str], *, logs: Path = LOGS) -> None:
        if not CDK.exists():
            raise CdkError("the CDK CLI is not installed: run `make setup` (or `npm ci`)")
        # CDK's own template rules are the tests' business, and more than half of a synth.
        self._environment = {**environment, "CDK_VALIDATION": "false"}
        self._logs = logs
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False
        logs.mkdir(parents=True, exist_ok=True)

    def bootstrap(self, account_id: str, region: str) -> None:
        """Bootstrap the account: bucket, roles and version parameter that a deploy needs."""
        # In a folder without cdk.json: with one, the CLI would synthesise the app first.
        self._run("bootstrap", ["bootstrap", f"aws://{account_id}/{region}"], cwd=WORKSPACE)

    def synth(self, folder: Path, assembly: Path, *, context: Mapping[str, str]) -> None:
        """Synthesise the app whose ``cdk.json`` is in ``folder``."""
        arguments = ["synth", "--quiet", "--output", str(assembly)]
        for key, value in context.items():
            arguments += ["--context", f"{key}={value}"]
        self._run(f"synth-{assembly.suffix[1:]}", arguments, cwd=folder)

    def deploy(self, assembly: Path) -> None:
        """Deploy the stacks of a synthesised app."""
        arguments = ["deploy", "--all", "--app", str(assembly), "--require-approval", "never"]
        self._run(
            f"deploy-{assembly.suffix[1:]}", [*arguments, "--progress", "events"], cwd=WORKSPACE
        )

    def stop(self) -> None:
        """End what is still running, and let nothing start any more."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for process in running:
            # The app runs as a grandchild: the whole group has to go.
            _signal_group(process, signal.SIGTERM)
        for process in running:
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                _signal_group(process, signal.SIGKILL)
                process.wait()

    def _run(self, name: str, arguments: list[str], *, cwd: Path) -> None:
        path = self._logs / f"cdk-{name}.log"
        with path.open("wb") as log:
            process = self._start([str(CDK), *arguments, "--no-notices", "--ci"], cwd, log)
            try:
                code = process.wait()
            finally:
                with self._lock:
                    self._running.discard(process)
        if code:
            shown = _last_lines(path)
            where = path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
            raise CdkError(f"cdk {arguments[0]} ended with code {code} ({where}):\n{shown}")

    def _start(self, command: list[str], cwd: Path, log: BinaryIO) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise CdkError("stopped")
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running.add(process)
            return process


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
        os.killpg(process.pid, number)


def _last_lines(log: Path) -> str:
    """Return the end of a log, without the banner jsii prints for a Node it calls too old."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        return "".join(deque((x for x in lines if not x.startswith(_BANNER)), _SHOWN_LINES))

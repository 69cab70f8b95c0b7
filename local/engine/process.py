"""Run the engine as a child process that dies with its parent."""

from __future__ import annotations

import collections
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ACCOUNT_ID = "000000000000"
REGION = "us-east-1"
LOOPBACK = "127.0.0.1"
REPOSITORY = Path(__file__).resolve().parents[2]

_STARTUP_SECONDS = 30.0
_STOP_SECONDS = 10.0
_LOG_LINES_SHOWN = 30
# Any AWS_* variable, and these, may send a client somewhere else than loopback or make it somebody
# else (AWS_PROFILE, AWS_ENDPOINT_URL_DYNAMODB, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS, ...).
_FOREIGN_VARIABLES = frozenset(
    {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"}
)


# The SDK's settings by name: (name in the config file, environment variables, default, conversion).
_NOBODYS_SETTINGS: dict[str, tuple[str | None, list[str], str | None, None]] = {
    "profile": (None, [], None, None),
    "config_file": (None, [], os.devnull, None),
    "credentials_file": (None, [], os.devnull, None),
}


class EngineError(RuntimeError):
    """The engine did not start, or died."""


class Engine:
    """The local AWS, on loopback, with its state in a directory of its own.

    Parameters
    ----------
    port
        Port to listen on; 0 takes a free one.
    enforce_iam
        Check every call against the caller's policies, roles of state machines and rules included.
    wait_scale
        Factor on Step Functions waits and retry intervals; timeouts are never scaled.
    directory
        Where state, S3 objects and the log go. A fresh temporary directory, removed by ``stop``,
        when not given.

    Raises
    ------
    EngineError
        From ``start``, with the engine's last log lines, when it does not become healthy.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        enforce_iam: bool = False,
        wait_scale: float = 1.0,
        directory: Path | None = None,
    ) -> None:
        self.port = port or _free_port()
        self.enforce_iam = enforce_iam
        self.wait_scale = wait_scale
        self._given_directory = directory
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The endpoint every AWS client and the CDK CLI use."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def log_path(self) -> Path:
        """The engine's log of this run."""
        return self._require_directory() / "engine.log"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that bind an AWS client, the AWS CLI or the CDK CLI to this engine."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": ACCOUNT_ID,  # a 12-digit key id selects the account
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            # No profile, role or endpoint of the person who runs this.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": f"{LOOPBACK},localhost",
        }

    @property
    def subprocess_environment(self) -> dict[str, str]:
        """``environment`` over the caller's, without what would lead a child elsewhere."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AWS_") and name.upper() not in _FOREIGN_VARIABLES
        }
        return {**inherited, **self.environment}

    def start(self) -> None:
        """Start the engine and wait until it answers."""
        if self._process is not None:
            raise EngineError(f"the engine on port {self.port} is already running")
        if _answers(self.port):
            # Its health check would pass for this engine's.
            raise EngineError(f"port {self.port} on {LOOPBACK} is already in use; choose another")
        self._directory = self._given_directory or Path(tempfile.mkdtemp(prefix="engine-"))
        temporary = self._directory / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "local.engine"],
                cwd=REPOSITORY,
                env=self._process_environment(temporary),
                # Held open and never written: its end tells the engine that this process ended,
                # by SIGKILL too. (A parent-death signal would fire when the starting thread ends.)
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its own session: functions run as its children, and stop() ends them all.
                start_new_session=True,
            )
        try:
            self._wait_until_healthy()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the engine and its functions, and remove the temporary directory."""
        process, self._process = self._process, None
        self._clients.clear()
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _kill_group(process.pid)
            if process.stdin is not None:
                process.stdin.close()
        if self._given_directory is None and self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def client(self, service: str) -> Any:
        """Return a boto3 client bound to this engine, one per service."""
        if service not in self._clients:
            # Not at the top: starting the engine needs no SDK, which takes a while to import.
            import boto3
            import botocore.session
            from botocore.config import Config

            session = boto3.session.Session(
                botocore_session=botocore.session.Session(_NOBODYS_SETTINGS),
                aws_access_key_id=ACCOUNT_ID,
                aws_secret_access_key="test",
                region_name=REGION,
            )
            config = Config(
                # Express executions would go to "sync-127.0.0.1".
                inject_host_prefix=False,
                s3={"addressing_style": "path"},
                proxies={},
            )
            self._clients[service] = session.client(service, endpoint_url=self.url, config=config)
        return self._clients[service]

    def last_log_lines(self) -> str:
        """Return the end of the engine's log."""
        with self.log_path.open(encoding="utf-8", errors="replace") as log:
            return "".join(collections.deque(log, _LOG_LINES_SHOWN))

    def _require_directory(self) -> Path:
        if self._directory is None:
            raise EngineError("the engine is not running")
        return self._directory

    def _process_environment(self, temporary: Path) -> dict[str, str]:
        directory = self._require_directory()
        return {
            **self.subprocess_environment,
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": LOOPBACK,
            # Handlers are given their endpoint by the engine, which builds it from this host.
            "MINISTACK_HOST": "localhost",
            "STATE_DIR": str(directory / "state"),
            "S3_DATA_DIR": str(directory / "s3"),
            "TMPDIR": str(temporary),
            "SFN_WAIT_SCALE": str(self.wait_scale),
            "AUTH": "true" if self.enforce_iam else "false",
            "LOG_LEVEL": os.environ.get("ENGINE_LOG_LEVEL", "WARNING"),
            "ENGINE_ENDS_WITH_STDIN": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _STARTUP_SECONDS
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            assert self._process is not None
            code = self._process.poll()
            if code is not None:
                raise EngineError(f"the engine ended with code {code}:\n{self.last_log_lines()}")
            try:
                with opener.open(f"{self.url}/_ministack/health", timeout=1):
                    return
            except (OSError, urllib.error.URLError):
                if time.monotonic() > deadline:
                    raise EngineError(
                        f"the engine did not answer on {self.url} within "
                        f"{_STARTUP_SECONDS:.0f} s:\n{self.last_log_lines()}"
                    ) from None
                time.sleep(0.05)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import ModuleType

import pytest

from local.engine import links
from local.engine.__main__ import refuse_public_address
from local.engine.process import REPOSITORY, Engine, EngineError
from tests.local.workbench import eventually

PARENT = """
import sys, time
from local.engine.process import Engine
engine = Engine()
engine.start()
print(engine._process.pid, flush=True)
time.sleep(60)
"""


def is_running(pid: int) -> bool:
    try:
        # An ended child of nobody who waits for it stays as a zombie.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.engine
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_engine_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    pid = int(parent.stdout.readline())
    assert is_running(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert eventually(lambda: not is_running(pid))


def listening_addresses(pid: int) -> set[str]:
    """The local addresses, in the hexadecimal of /proc, on which a process accepts."""
    listening = "0A"
    sockets = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == listening and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1].split(":")[0])
    return found


@pytest.mark.engine
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_engine_listens_on_loopback_only(engine: Engine) -> None:
    loopback = "0100007F"
    assert listening_addresses(engine._process.pid) == {loopback}


@pytest.mark.engine
def test_stop_ends_the_engine_and_removes_its_state() -> None:
    engine = Engine()
    engine.start()
    pid, state = engine._process.pid, engine.log_path.parent
    urllib.request.urlopen(f"{engine.url}/_ministack/health", timeout=5).close()
    begin = time.monotonic()
    engine.stop()
    assert time.monotonic() - begin < 5
    assert not is_running(pid)
    assert not state.exists()


@pytest.mark.engine
def test_given_directory_is_kept(tmp_path: Path) -> None:
    with Engine(directory=tmp_path) as engine:
        assert engine.log_path.parent == tmp_path
    assert (tmp_path / "engine.log").exists()


@pytest.mark.engine
def test_engine_that_dies_shows_its_last_log_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # the child does not find the repository
    engine = Engine()
    with pytest.raises(EngineError) as failure:
        engine.start()
    assert "ended with code 1" in str(failure.value)
    assert "No module named 'local'" in str(failure.value)


@pytest.mark.engine
def test_port_in_use_is_refused(engine: Engine) -> None:
    with pytest.raises(EngineError, match="already in use"):
        Engine(port=engine.port).start()


@pytest.fixture
def of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    variables = {
        "AWS_PROFILE": "production",
        "AWS_CA_BUNDLE": "/somewhere/else.pem",
        "AWS_SESSION_TOKEN": "token",
        "AWS_ENDPOINT_URL_DYNAMODB": "https://192.0.2.1",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "HTTPS_PROXY": "http://192.0.2.1:3128",
        "http_proxy": "http://192.0.2.1:3128",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return set(variables)


@pytest.mark.engine
def test_engine_inherits_no_credentials_endpoints_proxies_or_certificates(
    of_somebody_else: set[str],
) -> None:
    with Engine() as engine:
        environment = Path(f"/proc/{engine._process.pid}/environ").read_text().split("\0")
        assert engine.client("sts").get_caller_identity()["Account"] == "000000000000"
    names = {entry.split("=", 1)[0] for entry in environment}
    assert names.isdisjoint(of_somebody_else)
    assert "AWS_EC2_METADATA_DISABLED=true" in environment
    assert "AWS_ACCESS_KEY_ID=000000000000" in environment
    assert f"AWS_ENDPOINT_URL={engine.url}" in environment


def test_environment_of_a_child_is_bound_to_the_engine(of_somebody_else: set[str]) -> None:
    environment = Engine(port=4999).subprocess_environment
    assert of_somebody_else.isdisjoint(environment)
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4999"
    assert environment["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_loopback_addresses_are_accepted(host: str) -> None:
    assert refuse_public_address(host) is None


@pytest.mark.parametrize("host", [None, "", "0.0.0.0", "192.0.2.1", "example.com"])
def test_any_other_address_is_refused(host: str | None) -> None:
    with pytest.raises(SystemExit) as refusal:
        refuse_public_address(host)
    assert "BIND_HOST=127.0.0.1" in str(refusal.value)


def test_module_refuses_to_start_without_a_loopback_address() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "BIND_HOST"}
    ended = subprocess.run(
        [sys.executable, "-m", "local.engine"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert "BIND_HOST is None" in ended.stderr


def test_installed_engine_has_every_name_the_links_need() -> None:
    assert len(links.LINKS) == len(set(links.LINKS))
    assert links.verify() is None


def test_missing_name_is_reported_with_the_pin() -> None:
    link = ModuleType("link")
    link.PATCHES = (
        "ministack.services.cloudwatch._evaluate_alarm",
        "ministack.services.cloudwatch._gone",
        "ministack.core.lambda_runtime.Worker.gone",
        "ministack.absent._gone",
    )
    with pytest.raises(links.IncompatibleEngineError) as refusal:
        links.verify((link,))
    message = str(refusal.value)
    assert message.startswith(
        "ministack.services.cloudwatch._gone, ministack.core.lambda_runtime.Worker.gone, "
        "ministack.absent._gone: not in ministack"
    )
    assert "1.5.33" in message


def test_other_version_is_refused() -> None:
    with pytest.raises(links.IncompatibleEngineError, match=r"ministack 9\.9\.9 is needed"):
        links.verify((), pinned="9.9.9")

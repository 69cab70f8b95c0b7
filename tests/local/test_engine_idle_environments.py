"""Idle processes of functions are given up; those at work are not."""

from types import SimpleNamespace

import pytest
from ministack.core import lambda_runtime

from local.engine import idle_environments


@pytest.fixture
def ended(monkeypatch):
    found: list[str] = []
    monkeypatch.setattr(
        lambda_runtime, "kill_workers", lambda workers: found.extend(w.name for w in workers)
    )
    return found


def worker(name: str, *, used: float, in_use: bool = False) -> SimpleNamespace:
    return SimpleNamespace(name=name, last_used=used, in_use=in_use)


def test_last_process_of_an_idle_function_is_given_up(ended, monkeypatch):
    monkeypatch.setattr(idle_environments.time, "time", lambda: 1_000.0)
    workers = {
        "idle": [worker("idle", used=800.0)],
        "busy": [worker("busy", used=800.0, in_use=True), worker("surplus", used=800.0)],
        "warm": [worker("warm", used=990.0)],
    }
    monkeypatch.setattr(lambda_runtime, "_workers", workers)
    assert idle_environments.give_up_idle() == 2
    assert ended == ["idle", "surplus"]
    assert sorted(w.name for kept in workers.values() for w in kept) == ["busy", "warm"]

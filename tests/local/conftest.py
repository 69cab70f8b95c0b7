import itertools
from collections.abc import Iterator

import pytest

from local.engine.process import Engine
from tests.local.workbench import Workbench

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine(wait_scale=0.01) as running:
        yield running


@pytest.fixture(scope="session")
def enforcing_engine() -> Iterator[Engine]:
    with Engine(enforce_iam=True, wait_scale=0.01) as running:
        yield running


@pytest.fixture
def bench(engine: Engine) -> Workbench:
    return Workbench(engine)


@pytest.fixture
def enforcing_bench(enforcing_engine: Engine) -> Workbench:
    return Workbench(enforcing_engine)


@pytest.fixture
def name() -> str:
    """A name no other test of the session uses."""
    return f"case-{next(_numbers)}"

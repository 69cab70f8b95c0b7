"""The deployed product, for every engine test: here and in the folders of the runbooks.

One engine a worker, started on first use.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.engine.process import Engine
from tests.e2e.product import Product, assembly
from tests.e2e.services import Service


def _assembled(factory: pytest.TempPathFactory, name: str, **size: Any) -> Path:
    """A cloud assembly, which the first worker that needs it synthesises for all of them."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        return assembly(factory.mktemp(name), **size)
    folder = factory.getbasetemp().parent / f"{name}-{run}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            assembly(folder, **size)
            (folder / "done").touch()
    return folder / "cdk.out"


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    assembled = _assembled(tmp_path_factory, "product", tables=40, services=34)
    with Engine() as engine:
        yield Product(engine, assembled, tables=40, services=34)


@pytest.fixture(scope="session")
def enforced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The product once more, every call checked against its caller's policies.

    Its tables are backed up before they are changed, so that starting a child is checked too.
    """
    assembled = _assembled(tmp_path_factory, "enforced", tables=20, services=8, back_up_first=True)
    with Engine(enforce_iam=True) as engine:
        yield Product(engine, assembled, tables=20, services=8)


@pytest.fixture
def table(product: Product) -> str:
    # Failed runs of one test must not stop the next one.
    product.delete_item("BREAKER#dynamodb_throttling")
    return product.create_table()


@pytest.fixture
def enforced_table(enforced: Product) -> str:
    for runbook in ("dynamodb_throttling", "back_up_dynamodb_table"):
        enforced.delete_item(f"BREAKER#{runbook}")
    return enforced.create_table()


@pytest.fixture
def service(product: Product) -> Service:
    """An API and its function, released and deployed once, and seen by the poll."""
    return product.create_service()

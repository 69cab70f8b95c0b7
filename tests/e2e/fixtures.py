"""The deployed product, for every engine test: here and in the folders of the runbooks.

One engine a worker, started on first use.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.engine.process import Engine
from tests.e2e.product import Product, assembly
from tests.e2e.services import Service


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    assembled = assembly(tmp_path_factory.mktemp("product"), tables=40, services=34)
    with Engine() as engine:
        yield Product(engine, assembled, tables=40, services=34)


@pytest.fixture(scope="session")
def enforced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The product once more, every call checked against its caller's policies.

    Its tables are backed up before they are changed, so that starting a child is checked too.
    """
    folder = tmp_path_factory.mktemp("enforced")
    assembled = assembly(folder, tables=20, services=8, back_up_first=True)
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

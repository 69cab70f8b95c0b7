from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.engine.process import Engine
from tests.e2e.product import Product, assembly


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    assembled = assembly(tmp_path_factory.mktemp("product"), tables=60)
    with Engine() as engine:
        yield Product(engine, assembled)


@pytest.fixture(scope="session")
def enforced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The product once more, every call checked against its caller's policies."""
    assembled = assembly(tmp_path_factory.mktemp("enforced"), tables=16)
    with Engine(enforce_iam=True) as engine:
        yield Product(engine, assembled)


@pytest.fixture
def table(product: Product) -> str:
    # Failed runs of one test must not stop the next one.
    product.delete_item("BREAKER#dynamodb_throttling")
    return product.create_table()


@pytest.fixture
def enforced_table(enforced: Product) -> str:
    enforced.delete_item("BREAKER#dynamodb_throttling")
    return enforced.create_table()

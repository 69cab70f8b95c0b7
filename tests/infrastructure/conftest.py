"""One synthesis for all tests of the infrastructure."""

import pytest

from tests.infrastructure.synthesis import Synthesised, synthesise


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """The product on the committed platform."""
    return synthesise(tmp_path_factory.mktemp("cdk") / "cdk.out")

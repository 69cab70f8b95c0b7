"""Runbooks as they are deployed on the committed platform."""

import pytest

from stacks.catalog import ROOT, discover
from stacks.config import PlatformConfig
from tests.estate.rules import Subject


@pytest.fixture(scope="session")
def subjects() -> dict[str, Subject]:
    """Every runbook, by name."""
    entries = discover()
    config = PlatformConfig.read(ROOT / "platform.json", [entry.runbook for entry in entries])
    return {entry.runbook.name: Subject.of(entry, config.platform) for entry in entries}

"""The example of every runbook's page, typed as it stands there, on the platform it is for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aws_cdk as cdk
import pytest

from local.assembly import deploy
from local.engine.process import Engine
from local.sample_platform import names
from local.sample_platform.contents import fill, turn_rotation_on
from local.sample_platform.releases import publish_good_release
from local.sample_platform.stack import EnergyInsightsStack
from local.toolkit.deployment import ROTATION_FUNCTION_ARN
from stacks.catalog import ROOT, CatalogEntry, discover
from stacks.config import PlatformConfig
from tests.e2e.product import Product
from tests.infrastructure.synthesis import WITHOUT_CHECKS, synthesise

pytestmark = pytest.mark.engine

ENTRIES = discover()
CONFIG = PlatformConfig.read(ROOT / "platform.json", [entry.runbook for entry in ENTRIES])
# What there is nothing to do for on a quiet platform, or what a pipeline has to bring first: the
# answer says so.
REFUSED = {
    "api_gateway_errors": "so there is nothing to heal",
    "deploy_infrastructure": "set stacks[].execution_role in platform.json",
    "dynamodb_throttling": "so there is nothing to raise",
    "lambda_errors": "there is no version 6",
    "review_iam_permissions": "it is 0 days old and judged from 90",
    "system_outage": "no alarm of the platform is red",
    "update_lambda_code": "there is no such version, or it may not be read",
}


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The committed platform file, and the sample platform that it protects."""
    folder = tmp_path_factory.mktemp("committed")
    app = cdk.App(outdir=str(folder / "platform"), **WITHOUT_CHECKS)
    EnergyInsightsStack(app, names.STACK)
    app.synth()
    synthesise(folder / "product")
    with Engine() as engine:
        deploy(engine.client, folder / "platform", names.STACK)
        publish_good_release(engine.client("lambda"), label="2")
        fill(engine.client)
        product = Product(engine, folder / "product", tables=0, services=0)
        turn_rotation_on(engine.client, ROTATION_FUNCTION_ARN)
        yield product


@pytest.fixture(scope="module")
def answers(committed: Product) -> dict[str, dict[str, Any]]:
    """Every example and what came back; four at a time, since each starts two cold functions."""

    def run(entry: CatalogEntry) -> dict[str, Any]:
        given = entry.runbook.example_input(CONFIG.platform)
        return committed.run(given, machine=committed.machine(entry.runbook.kebab))

    with ThreadPoolExecutor(4) as pool:
        found = pool.map(run, ENTRIES)
        return {e.runbook.name: answer for e, answer in zip(ENTRIES, found, strict=True)}


@pytest.mark.parametrize("name", [entry.runbook.name for entry in ENTRIES])
def test_example_is_understood_and_changes_nothing(
    answers: dict[str, dict[str, Any]], name: str
) -> None:
    answer = answers[name]
    assert answer["outcome"] == "proposed", answer
    assert answer["changes"] == []
    if name in REFUSED:
        assert REFUSED[name] in str(answer["reason"]), answer["reason"]
    else:
        assert answer["plan"]["calls"], answer["reason"]


def test_example_of_the_page_is_the_one_that_is_run() -> None:
    for entry in ENTRIES:
        page = (ROOT / "docs/runbooks" / f"{entry.runbook.name}.md").read_text()
        given = json.loads(entry.runbook.example_input(CONFIG.platform))
        assert json.dumps(given) in page

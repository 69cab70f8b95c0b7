"""The chat incidents on the real sample platform: the symptom is there, and the remedy ends it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local import assembly
from local.engine.process import Engine
from local.incidents.bad_lambda_release import BadLambdaRelease
from local.incidents.bad_stage_deployment import BadStageDeployment
from local.incidents.chat_incident import ChatIncident
from local.incidents.incident import Finding
from local.sample_platform import names
from local.sample_platform.releases import publish_good_release
from tests.local.workbench import Workbench, eventually

pytestmark = pytest.mark.engine

REPOSITORY = Path(__file__).resolve().parents[2]
ALIAS = {"FunctionName": names.CHAT_FUNCTION, "Resource": f"{names.CHAT_FUNCTION}:live"}
STAGE = {"ApiName": names.API, "Stage": names.STAGE}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    out = tmp_path_factory.mktemp("platform")
    subprocess.run(
        [sys.executable, "-m", "local.sample_platform.app"],
        cwd=REPOSITORY,
        env={**os.environ, "CDK_OUTDIR": str(out)},
        check=True,
    )
    with Engine() as engine:
        outputs = assembly.deploy(engine.client, out, names.STACK)
        assert outputs["ApiId"] == names.API_ID
        publish_good_release(engine.client("lambda"), label="2")
        yield Workbench(engine)


@contextmanager
def broken(kind: Callable[..., ChatIncident], bench: Workbench) -> Iterator[ChatIncident]:
    with kind(bench.client) as incident:
        incident.load.start()
        assert eventually(incident.load.healthy, seconds=20), incident.load.summary()
        incident.start()
        yield incident


def failing(incident: ChatIncident, status: int) -> bool:
    return eventually(lambda: set(incident.load.recent()) == {status}, seconds=20)


def healed(incident: ChatIncident) -> list[Finding]:
    eventually(lambda: all(f.true for f in incident.findings()), seconds=20)
    return incident.findings()


def total(bench: Workbench, namespace: str, metric: str, dimensions: dict[str, str]) -> float:
    return bench.metric_sum(namespace, metric, dimensions) or 0


def test_bad_release_fails_every_request_until_the_alias_goes_back(platform: Workbench) -> None:
    awslambda = platform.client("lambda")
    with broken(BadLambdaRelease, platform) as incident:
        assert failing(incident, 502), incident.load.summary()
        assert not any(f.true for f in incident.findings()[:2])
        assert total(platform, "AWS/Lambda", "Errors", ALIAS) >= 3
        assert total(platform, "AWS/ApiGateway", "5XXError", STAGE) >= 3
        assert incident.values()["weights"] == "none"
        assert "100 % failed" in incident.values()["POST /chat, last 3 s"]

        before = int(incident.values()["alias live"].removeprefix("version ")) - 1
        awslambda.update_alias(
            FunctionName=names.CHAT_FUNCTION, Name="live", FunctionVersion=str(before)
        )
        assert all(f.true for f in healed(incident)), healed(incident)

    log = platform.client("logs").filter_log_events(
        logGroupName=f"/aws/lambda/{names.CHAT_FUNCTION}", filterPattern='"[ERROR]"'
    )
    first = {event["message"].splitlines()[0] for event in log["events"]}
    assert first == {"[ERROR] TypeError: string indices must be integers, not 'str'"}


def test_bad_deployment_fails_without_the_function_until_the_stage_goes_back(
    platform: Workbench,
) -> None:
    gateway = platform.client("apigateway")
    before = gateway.get_stage(restApiId=names.API_ID, stageName=names.STAGE)["deploymentId"]
    errors = total(platform, "AWS/Lambda", "Errors", ALIAS)
    with broken(BadStageDeployment, platform) as incident:
        assert failing(incident, 500), incident.load.summary()
        assert not any(f.true for f in incident.findings())
        assert total(platform, "AWS/ApiGateway", "5XXError", STAGE) >= 3
        assert total(platform, "AWS/Lambda", "Errors", ALIAS) == errors

        patch: dict[str, Any] = {"op": "replace", "path": "/deploymentId", "value": before}
        gateway.update_stage(restApiId=names.API_ID, stageName=names.STAGE, patchOperations=[patch])
        assert all(f.true for f in healed(incident)), healed(incident)

        # The API's definition is whole: what is deployed next serves.
        gateway.create_deployment(restApiId=names.API_ID, stageName=names.STAGE)
        assert eventually(incident.load.healthy)

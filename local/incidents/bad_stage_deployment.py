"""Incident: a deployment of the chat API whose integration points nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local.incidents.chat_incident import ChatIncident
from local.incidents.chat_load import REQUESTS_PER_SECOND
from local.incidents.incident import PREFIX, Finding
from local.sample_platform import names
from local.sample_platform.releases import StageDeployment, deploy_bad_api


class BadStageDeployment(ChatIncident):
    """The stage serves a deployment that cannot reach its function, until somebody moves it."""

    name = "bad stage deployment"
    runbook = "api_gateway_errors"
    alarm_names = (f"{PREFIX}-{names.API}-{names.STAGE}-5xx",)
    story = (
        f"{REQUESTS_PER_SECOND} times a second a user posts to {names.API}. Then a deployment of "
        f"the API goes to the stage `{names.STAGE}` whose POST /chat calls an alias that does not "
        "exist: API Gateway answers 500 by itself, and the function is never invoked.\n"
        "Real: requests, deployments (snapshots of the API), the stage, and the metrics that "
        "requests leave (AWS/ApiGateway).\n"
        "Made by the demo: the product's poll of releases, which AWS runs every five minutes, is "
        "asked for once before anything is broken."
    )

    def __init__(self, client: Callable[[str], Any]) -> None:
        super().__init__(client)
        self._gateway = client("apigateway")
        self._deployment: StageDeployment | None = None

    def values(self) -> dict[str, str]:
        """Read the stage, and what users get."""
        return {f"stage {names.STAGE}": f"deployment {self._current()}", **self.request_values()}

    def start(self) -> None:
        """Deploy the broken API and move the stage to it."""
        self._deployment = deploy_bad_api(self._gateway)

    def findings(self) -> list[Finding]:
        """Ask users and stage; where the stage should be is where it was before."""
        before = self._deployment.previous_deployment_id if self._deployment else None
        return [
            *self.request_findings(),
            Finding(
                statement=f"stage {names.STAGE} is on the previous deployment, {before}",
                true=self._current() == before,
            ),
        ]

    def _current(self) -> str:
        stage = self._gateway.get_stage(restApiId=names.API_ID, stageName=names.STAGE)
        return str(stage["deploymentId"])

"""Incident: a release of the chat function that fails on every request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local.incidents.chat_incident import ChatIncident
from local.incidents.chat_load import REQUESTS_PER_SECOND
from local.incidents.incident import PREFIX, Finding
from local.sample_platform import names
from local.sample_platform.releases import Release, publish_bad_release


class BadLambdaRelease(ChatIncident):
    """The alias `live` points to a version that raises, until somebody points it back."""

    name = "bad Lambda release"
    runbook = "lambda_errors"
    joining_runbooks = ("api_gateway_errors",)
    alarm_names = (
        f"{PREFIX}-{names.CHAT_FUNCTION}-errors",
        f"{PREFIX}-{names.API}-{names.STAGE}-5xx",
    )
    story = (
        f"{REQUESTS_PER_SECOND} times a second a user posts to {names.API}. Then a release of "
        f"{names.CHAT_FUNCTION} goes out behind the alias `{names.LIVE_ALIAS}` that raises on "
        "every request.\n"
        "Real: requests, code, exceptions, log, and the metrics they leave (AWS/Lambda and "
        "AWS/ApiGateway). One cause turns two alarms red, and each starts its runbook: one has to "
        "heal, the other to join it.\n"
        "Made by the demo: the product's poll of releases, which AWS runs every five minutes, is "
        "asked for once before anything is broken."
    )

    def __init__(self, client: Callable[[str], Any]) -> None:
        super().__init__(client)
        self._lambda = client("lambda")
        self._release: Release | None = None

    def values(self) -> dict[str, str]:
        """Read the alias, and what users get."""
        alias = self._alias()
        weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        shares = ", ".join(f"{100 * w:g} % to version {v}" for v, w in sorted(weights.items()))
        return {
            f"alias {names.LIVE_ALIAS}": f"version {alias['FunctionVersion']}",
            "weights": shares or "none",
            **self.request_values(),
        }

    def start(self) -> None:
        """Release the bad version the way a pipeline does."""
        # A label of its own: Lambda publishes no new version of unchanged code.
        label = f"bad, after version {self._alias()['FunctionVersion']}"
        self._release = publish_bad_release(self._lambda, label=label)

    def findings(self) -> list[Finding]:
        """Ask users and alias; where the alias should point is what it pointed to before."""
        alias = self._alias()
        before = self._release.previous_version if self._release else None
        weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        return [
            *self.request_findings(),
            Finding(
                statement=f"alias {names.LIVE_ALIAS} points to the previous version, {before}",
                true=alias["FunctionVersion"] == before,
            ),
            Finding(statement="no share of the requests goes to another version", true=not weights),
        ]

    def _alias(self) -> dict[str, Any]:
        alias: dict[str, Any] = self._lambda.get_alias(
            FunctionName=names.CHAT_FUNCTION, Name=names.LIVE_ALIAS
        )
        return alias

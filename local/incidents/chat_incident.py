"""What incidents of the chat API have in common: users, and a poll that has seen it healthy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from local.incidents.chat_load import RECENT_SECONDS, ChatLoad
from local.incidents.incident import Finding, Incident, IncidentError, Step
from local.incidents.release_poll import poll_releases
from local.sample_platform import names

_HEALTHY_REQUESTS = 20
_HEALTHY_SECONDS = 30.0
_POLL_SECONDS = 0.1


class ChatIncident(Incident):
    """Users post to the chat API before, during and after the incident."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        super().__init__(client)
        self.load = ChatLoad(names.chat_url(client("apigateway").meta.endpoint_url))

    def prepare(self, step: Step) -> None:
        """Send healthy traffic, then have the product note the releases that serve it."""
        with step("healthy traffic on POST /chat"):
            self.load.start()
            self._await_healthy()
        with step("the five-minute poll of releases, now"):
            poll_releases(self.client, targets=(f":{names.CHAT_FUNCTION}", f"/{names.API_ID}/"))

    def stop(self) -> None:
        """Let the users go."""
        self.load.stop()

    def request_values(self) -> dict[str, str]:
        """What users get."""
        return {f"POST /chat, last {RECENT_SECONDS:.0f} s": self.load.summary()}

    def request_findings(self) -> list[Finding]:
        """Whether users are served again."""
        return [
            Finding(
                statement=f"every request of the last {RECENT_SECONDS:.0f} s was answered 200",
                true=self.load.healthy(),
            )
        ]

    def _await_healthy(self) -> None:
        deadline = time.monotonic() + _HEALTHY_SECONDS
        while not (self.load.healthy() and len(self.load.recent()) >= _HEALTHY_REQUESTS):
            if time.monotonic() > deadline or not self.load.alive:
                raise IncidentError(
                    f"the chat API is not healthy before the incident: {self.load.summary()}"
                )
            time.sleep(_POLL_SECONDS)

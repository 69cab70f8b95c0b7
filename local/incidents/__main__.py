"""Break the platform of a running `make local`: ``python -m local.incidents throttled-table``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from local.incidents.catalog import INCIDENTS
from local.incidents.incident import Incident, IncidentError
from local.toolkit.console import Console
from local.toolkit.interrupts import interrupt_on_signals
from local.toolkit.loopback import NotLoopbackError, refuse_foreign_endpoints

_SHOW_SECONDS = 2.0


def main() -> int:
    """Break it until Ctrl-C, showing the values the runbook should change."""
    by_name = {kind.name.lower().replace(" ", "-"): kind for kind in INCIDENTS}
    parser = argparse.ArgumentParser(prog="python -m local.incidents", description=__doc__)
    parser.add_argument("incident", choices=sorted(by_name))
    incident = by_name[parser.parse_args().incident]
    interrupt_on_signals()
    console = Console()
    try:
        endpoint = _engine_endpoint(os.environ)
    except NotLoopbackError as error:
        console.line(str(error), style="red")
        return 1
    try:
        _break(console, incident(lambda service: _client(service, endpoint)))
    except IncidentError as error:
        console.line(str(error), style="red")
        return 1
    return 0


def _engine_endpoint(environment: Mapping[str, str]) -> str:
    refuse_foreign_endpoints(environment)
    endpoint = environment.get("AWS_ENDPOINT_URL")
    if not endpoint:
        raise NotLoopbackError("AWS_ENDPOINT_URL is not set: run `make local`, then `. .local/env`")
    return endpoint


def _client(service: str, endpoint: str) -> Any:
    import boto3

    return boto3.client(service, endpoint_url=endpoint)


def _break(console: Console, incident: Incident) -> None:
    console.paragraph(incident.story)
    console.line("  Ctrl-C ends it.")
    shown: dict[str, str] = {}
    try:
        with incident:
            incident.prepare(console.step)
            incident.start()
            while True:
                values = incident.values()
                if values != shown:
                    console.line()
                    for label, value in values.items():
                        console.line(f"  {label:<28} {value}")
                    shown = values
                time.sleep(_SHOW_SECONDS)
    except KeyboardInterrupt:
        console.line("Ended.")


if __name__ == "__main__":
    sys.exit(main())

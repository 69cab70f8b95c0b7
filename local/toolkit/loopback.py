"""Nothing local talks to anything but loopback."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

_ENDPOINT_PREFIX = "AWS_ENDPOINT_URL"
_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NODE_EXTRA_CA_CERTS"})


class NotLoopbackError(RuntimeError):
    """An endpoint variable points away from this machine."""


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine without asking a name server."""
    host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_foreign_endpoints(environment: Mapping[str, str]) -> None:
    """Stop before anything starts if the caller's shell points at another AWS.

    Parameters
    ----------
    environment
        Variables of the calling process.

    Raises
    ------
    NotLoopbackError
        Naming each ``AWS_ENDPOINT_URL*`` that is set and not loopback.
    """
    foreign = sorted(
        name
        for name, value in environment.items()
        if name.startswith(_ENDPOINT_PREFIX) and value and not is_loopback(value)
    )
    if foreign:
        named = ", ".join(f"{name}={environment[name]}" for name in foreign)
        raise NotLoopbackError(
            f"{named}: not loopback. The local stack only talks to this machine; "
            f"unset {' '.join(foreign)} and start again."
        )


def bound_environment(
    environment: Mapping[str, str], engine_environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables for a child process that may talk to the engine and to nothing else.

    Parameters
    ----------
    environment
        Variables of the calling process; its AWS settings and proxies are left behind.
    engine_environment
        What binds a client to the engine (``Engine.environment``); wins over everything.

    Notes
    -----
    The CDK CLI reports usage and looks for newer versions unless told not to.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith("AWS_") and name.upper() not in _PROXIES
    }
    interpreter = str(Path(sys.executable).parent)
    return {
        **kept,
        "PATH": os.pathsep.join([interpreter, kept.get("PATH", os.defpath)]),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        **engine_environment,
    }

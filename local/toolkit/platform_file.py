"""The platform file of a local run: the repository's, with the short windows of the demo."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local.toolkit.workspace import PLATFORM_FILE, REPOSITORY

BASE = REPOSITORY / "platform.json"
PROFILE = REPOSITORY / "local" / "demo_profile.json"
#: The same for the procedures that people start, and the role of the local bootstrap.
PROCEDURES = REPOSITORY / "local" / "procedures_profile.json"


def merged(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``overlay`` laid over it.

    Objects are merged key by key, at every depth. Everything else, lists too, is replaced whole.
    Neither argument is changed.
    """
    result = dict(base)
    for key, value in overlay.items():
        below = result.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result


def with_api_id(platform: Mapping[str, Any], api_name: str, api_id: str) -> dict[str, Any]:
    """Return the platform with the id that the deployed API really has."""
    apis = [
        {**api, "api_id": api_id} if api["api_name"] == api_name else api
        for api in platform.get("apis", [])
    ]
    return {**platform, "apis": apis} if apis else dict(platform)


def write_platform_file(
    api_name: str,
    api_id: str,
    *,
    base: Path = BASE,
    profiles: Sequence[Path] = (PROFILE, PROCEDURES),
    destination: Path = PLATFORM_FILE,
) -> None:
    """Write the platform file that the local run deploys with."""
    platform = json.loads(base.read_text())
    for profile in profiles:
        platform = merged(platform, json.loads(profile.read_text()))
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.write_text(json.dumps(with_api_id(platform, api_name, api_id), indent=2) + "\n")

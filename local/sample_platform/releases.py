"""Releases of the chat function, made as a pipeline makes them: new code, version, alias."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.sample_platform import names

FUNCTIONS = Path(__file__).parent / "functions"


@dataclass(frozen=True, kw_only=True)
class Release:
    """A version behind the alias, and the one it replaced."""

    version: str
    previous_version: str


def publish_good_release(lambda_client: Any, *, label: str) -> Release:
    """Release the chat function as it is in the repository.

    Parameters
    ----------
    lambda_client
        boto3 client for Lambda.
    label
        Goes into the package, because Lambda publishes no new version of unchanged code.
    """
    return _publish(lambda_client, FUNCTIONS / "chat", label)


def publish_bad_release(lambda_client: Any, *, label: str) -> Release:
    """Release a chat function that raises on every request (see ``publish_good_release``)."""
    return _publish(lambda_client, FUNCTIONS / "chat_bad_release", label)


def _publish(lambda_client: Any, source: Path, label: str) -> Release:
    function = {"FunctionName": names.CHAT_FUNCTION}
    alias = lambda_client.get_alias(**function, Name=names.LIVE_ALIAS)
    uploaded = lambda_client.update_function_code(**function, ZipFile=_package(source, label))
    lambda_client.get_waiter("function_updated_v2").wait(
        **function, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    published = lambda_client.publish_version(
        **function, CodeSha256=uploaded["CodeSha256"], Description=label
    )
    lambda_client.update_alias(
        **function,
        Name=names.LIVE_ALIAS,
        FunctionVersion=published["Version"],
        RevisionId=alias["RevisionId"],
    )
    return Release(version=published["Version"], previous_version=alias["FunctionVersion"])


def _package(source: Path, label: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for path in sorted(source.glob("*.py")):
            package.write(path, path.name)
        package.writestr("RELEASE", label + "\n")
    return buffer.getvalue()

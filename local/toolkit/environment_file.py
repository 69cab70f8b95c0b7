"""``.local/env``: what makes the plain AWS CLI and boto3 talk to the local stack."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

_PRODUCT_PREFIX = "remediation-"
# A profile would win over the keys; a CA bundle would be applied to a plain HTTP endpoint.
_UNSET = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE")


def environment_text(
    engine_environment: Mapping[str, str],
    outputs: Mapping[str, str],
    machines: Mapping[str, str],
) -> str:
    """Return the shell text: exports for clients, stack outputs and state machine ARNs.

    Outputs become ``OPERATOR_TOPIC_ARN`` (from ``OperatorTopicArn``); the machine
    ``remediation-dynamodb-throttling`` becomes ``DYNAMODB_THROTTLING_MACHINE_ARN``.
    """
    exports = {
        **engine_environment,
        "AWS_PAGER": "",
        **{_upper_snake(key): value for key, value in outputs.items()},
        **{machine_variable(name): arn for name, arn in machines.items()},
    }
    lines = [f"unset {' '.join(_UNSET)}"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in exports.items()]
    return "\n".join(lines) + "\n"


def machine_variable(machine_name: str) -> str:
    """Return the name of the shell variable that holds a state machine's ARN."""
    short = machine_name.removeprefix(_PRODUCT_PREFIX)
    return f"{short.replace('-', '_').upper()}_MACHINE_ARN"


def write_environment_file(path: Path, text: str) -> None:
    """Write the file whole or not at all, so a script may wait for it to appear."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(path)


def _upper_snake(name: str) -> str:
    pieces = [f"_{c}" if c.isupper() and i else c for i, c in enumerate(name)]
    return "".join(pieces).upper()

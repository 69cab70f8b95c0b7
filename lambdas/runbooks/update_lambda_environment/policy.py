"""Decisions of `update_lambda_environment`: pure functions, no AWS call; names, never values."""

import re
from collections.abc import Mapping, Sequence

from lambdas.remediation.contracts import Decision, Json, Plan, PlannedCall
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.platform import Function
from lambdas.remediation.releases import put_back, release_calls, require_ready
from lambdas.remediation.resources.lambda_alias import Alias
from lambdas.remediation.resources.lambda_release import (
    CODE,
    RELEASE,
    Configuration,
    publish,
)
from lambdas.remediation.resources.lambda_variables import Planned, update_variables

# AWS Lambda API Reference, Environment; Lambda quotas: 4 KB, names and values together.
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")
_RESERVED = ("AWS_", "LAMBDA_")
MAX_BYTES = 4_096
# AWS Secrets Manager API Reference, GetSecretValue: VersionId.
_VERSION_ID_LENGTH = range(32, 65)
_RECORD = "before "


class Asked(Frozen):
    """The change that is asked for."""

    set: tuple[str, ...]
    remove: tuple[str, ...]
    version_id: str | None = None


class Situation(Frozen):
    """Everything the plan rests on.

    Parameters
    ----------
    served_code
        SHA-256 of the code behind the alias.
    keeper
        Version that has just the variables of the unpublished function; None if none is known.
    drift
        Settings, beside the code, in which the unpublished function differs from what serves.
    """

    function_arn: str
    asked: Asked
    secret_id: str | None
    planned: Planned
    latest: Configuration
    alias: Alias
    served_code: str
    keeper: str | None = None
    drift: Sequence[str] = ()
    canary_percent: int
    run_id: str


def asked(parameters: Mapping[str, Json]) -> Asked:
    """The change that is asked for.

    Raises
    ------
    InvalidRequestError
        A name is missing, twice there, reserved, or none that Lambda takes.
    """
    found = Asked(
        set=tuple(parameters.get("set", ())),
        remove=tuple(parameters.get("remove", ())),
        version_id=parameters.get("version_id"),
    )
    if not found.set and not found.remove:
        raise InvalidRequestError(
            "parameters.set: missing; give names of variables to set, or to remove in "
            "parameters.remove"
        )
    for field, names in (("set", found.set), ("remove", found.remove)):
        for name in names:
            _check_name(f"parameters.{field}", name)
    if found.version_id is not None and len(found.version_id) not in _VERSION_ID_LENGTH:
        raise InvalidRequestError(
            f"parameters.version_id: {found.version_id!r} is no version of a secret; type the "
            "VersionId that aws secretsmanager list-secret-version-ids shows"
        )
    both = sorted(set(found.set) & set(found.remove))
    if both:
        raise InvalidRequestError(
            f"parameters.remove: {both[0]} is in parameters.set too; leave it in one of them"
        )
    return found


def _check_name(where: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        # What is no name may be a value that somebody typed by mistake: it is not repeated.
        raise InvalidRequestError(
            f"{where}: holds what is no name of a variable; type names of two or more letters, "
            "digits and _ that begin with a letter, and put values into the secret"
        )
    if name.startswith(_RESERVED):
        raise InvalidRequestError(
            f"{where}: {name} is reserved; names that begin with AWS_ or LAMBDA_ are Lambda's own"
        )


def require_secret(function: Function, names: Sequence[str]) -> str | None:
    """Secret that values come from; None if none is needed.

    Raises
    ------
    PrerequisiteNotMetError
        Values are needed, and the platform file names no secret.
    """
    if names and function.variables_secret_id is None:
        raise PrerequisiteNotMetError(
            f"function {function.function_name}: platform.json names no secret for its variables; "
            "set functions[].variables_secret_id to a secret that is a JSON object of them"
        )
    return function.variables_secret_id if names else None


def decide(situation: Situation) -> Plan:
    """Plan the record, the change of the variables, a version of it, and the move of the alias.

    Raises
    ------
    ResourceBusyError
        Somebody is updating the function.
    PrerequisiteNotMetError
        There is nothing to do, or function, alias or secret are not in order.
    """
    latest, alias = situation.latest, situation.alias
    require_ready(alias.function_name, latest, alias)
    _require_same_code(situation)
    _require_names(situation)
    planned, wanted = situation.planned, situation.asked
    record = None if situation.keeper else f"{_RECORD}{situation.run_id}"
    calls: list[PlannedCall] = []
    if record:
        calls.append(
            publish(situation.function_arn, release=record, code_sha256=latest.code_sha256)
        )
    secret = (
        (situation.secret_id, planned.values_version)
        if situation.secret_id and planned.values_version
        else None
    )
    calls.append(
        update_variables(
            situation.function_arn,
            base=situation.keeper or f"{RELEASE}{record}",
            release=situation.run_id,
            set_names=wanted.set,
            remove=wanted.remove,
            secret=secret,
            revision_id=latest.revision_id if record else None,
        )
    )
    calls += release_calls(
        situation.function_arn,
        alias,
        release=situation.run_id,
        code_sha256=latest.code_sha256,
        published=None,
        canary=situation.canary_percent,
    )
    return Plan(
        decision=Decision.CHANGE,
        reason=_reason(situation),
        calls=calls,
        evidence={
            CODE: latest.code_sha256,
            "variable_names": list(planned.names),
            "changed_names": list(planned.changed),
            "size_bytes": planned.size_bytes,
            "released_settings": list(situation.drift),
        },
    )


def _require_same_code(situation: Situation) -> None:
    if situation.latest.code_sha256 != situation.served_code:
        alias = situation.alias
        raise PrerequisiteNotMetError(
            f"function {alias.function_name}: the unpublished code ($LATEST) is not that of "
            f"version {alias.version}, which {alias.name} serves, and would be released with the "
            "variables: it was never released, or its release was taken back, which leaves it "
            "there. Release it with update_lambda_code first; or, "
            f"{put_back(alias.function_name, alias.version)}"
        )


def _require_names(situation: Situation) -> None:
    planned, secret = situation.planned, situation.secret_id
    if planned.without_value:
        raise PrerequisiteNotMetError(
            f"secret {secret} version {planned.values_version} has no "
            f"{', '.join(planned.without_value)}; add it there, or correct parameters.set"
        )
    if planned.absent:
        raise PrerequisiteNotMetError(
            f"function {situation.alias.function_name} has no variable "
            f"{', '.join(planned.absent)}; correct parameters.remove"
        )
    if not planned.changed:
        raise PrerequisiteNotMetError(
            f"nothing to do: {', '.join(situation.asked.set)} of function "
            f"{situation.alias.function_name} already have the secret's values"
        )
    if planned.size_bytes > MAX_BYTES:
        raise PrerequisiteNotMetError(
            f"the variables would take {planned.size_bytes} bytes, Lambda takes {MAX_BYTES}; "
            "remove some, or let the function read them from where they are kept"
        )


def _reason(situation: Situation) -> str:
    alias, wanted, share = situation.alias, situation.asked, situation.canary_percent
    parts = []
    if wanted.set:
        version = situation.planned.values_version
        parts.append(f"set {', '.join(wanted.set)} from secret {situation.secret_id} {version}")
    if wanted.remove:
        parts.append(f"remove {', '.join(wanted.remove)}")
    way = f"at first {share} % of the traffic, then all" if share else "all the traffic at once"
    reason = (
        f"In the variables of {alias.function_name}:{alias.name} {' and '.join(parts)}, and give "
        f"the new version {way}. Version {alias.version} is what an undo goes back to."
    )
    if situation.drift:
        reason += f" Released with it, for it is unpublished too: {', '.join(situation.drift)}."
    return reason

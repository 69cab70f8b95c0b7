"""IAM's last accessed details name the services that a role may call.

MiniStack makes the report but leaves it empty, which on AWS means a role without permissions. Here
every service is in it that the role's policies allow by name, with the actions that they name.
Nobody keeps track of calls in the engine, so all of them were never accessed.
"""

from __future__ import annotations

import json
from typing import Any

from ministack.core import iam_actions
from ministack.services import iam

PATCHES: tuple[str, ...] = (
    "ministack.core.iam_actions._query_param",
    "ministack.core.iam_actions.extract_resource_arn",
    "ministack.services.iam._IAM_HANDLERS",
    "ministack.services.iam._lookup_policy",
    "ministack.services.iam._p",
    "ministack.services.iam._roles",
    "ministack.services.iam._sla_jobs",
)

_EMPTY = b"<ServicesLastAccessed></ServicesLastAccessed>"


def install() -> None:
    """Fill the report in, and judge the call for it by the ARN that it asks about."""
    answer = iam._IAM_HANDLERS["GetServiceLastAccessedDetails"]

    def answer_with_services(params: Any) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = answer(params)
        job = iam._sla_jobs.get(iam._p(params, "JobId"))
        if job:
            filled = f"<ServicesLastAccessed>{_services(job['Arn'])}</ServicesLastAccessed>"
            body = body.replace(_EMPTY, filled.encode())
        return status, headers, body

    iam._IAM_HANDLERS["GetServiceLastAccessedDetails"] = answer_with_services
    resource_arn = iam_actions.extract_resource_arn

    def resource_arn_of_reports(service: str, *args: Any) -> Any:
        query = args[4]
        asked = iam_actions._query_param(query, "Arn") if service == "iam" else None
        return asked or resource_arn(service, *args)

    iam_actions.extract_resource_arn = resource_arn_of_reports


def _services(arn: str) -> str:
    role = iam._roles.get(arn.rpartition("/")[2]) or {"InlinePolicies": {}, "AttachedPolicies": []}
    documents = list(role["InlinePolicies"].values())
    for attached in role["AttachedPolicies"]:
        policy = iam._lookup_policy(attached)
        versions = policy["Versions"].values() if policy else ()
        documents += [v["Document"] for v in versions if v["IsDefaultVersion"]]
    allowed: dict[str, set[str]] = {}
    for document in documents:
        for namespace, action in _allowed(document):
            allowed.setdefault(namespace, set()).add(action)
    return "".join(_service(name, sorted(allowed[name])) for name in sorted(allowed))


def _allowed(document: Any) -> list[tuple[str, str]]:
    found = json.loads(document) if isinstance(document, str) else document
    listed = found["Statement"] if isinstance(found["Statement"], list) else [found["Statement"]]
    pairs = []
    for statement in listed:
        actions = statement.get("Action", []) if statement["Effect"] == "Allow" else []
        for action in [actions] if isinstance(actions, str) else actions:
            namespace, _, name = action.partition(":")
            pairs.append((namespace, name))
    return [(namespace, name) for namespace, name in pairs if name]


def _service(namespace: str, actions: list[str]) -> str:
    tracked = "".join(
        f"<member><ActionName>{name}</ActionName></member>" for name in actions if "*" not in name
    )
    return (
        f"<member><ServiceName>{namespace}</ServiceName>"
        f"<ServiceNamespace>{namespace}</ServiceNamespace>"
        "<TotalAuthenticatedEntities>0</TotalAuthenticatedEntities>"
        f"<TrackedActionsLastAccessed>{tracked}</TrackedActionsLastAccessed></member>"
    )

"""IAM Access Analyzer's policy checks, which are absent: the two that need no analyzer.

``CheckNoNewAccess`` here knows plain statements: each Allow of the new policy must be in one of
the old, with the same resources and conditions and no further action, and each Deny of the old
must still be there. What is not so is answered ``FAIL``, also where AWS's reasoning would see that
nothing is gained.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator, router

PATCHES: tuple[str, ...] = (
    "ministack.app.SERVICE_HANDLERS",
    "ministack.core.iam_actions.SERVICE_TO_IAM_NAMESPACE",
    "ministack.core.iam_actions.extract_iam_action",
    "ministack.core.iam_evaluator.validate_policy_document",
    "ministack.core.router.SERVICE_PATTERNS",
)

SERVICE = "access-analyzer"
_ACTIONS = {
    "/policy/validation": "ValidatePolicy",
    "/policy/check-no-new-access": "CheckNoNewAccess",
}

Statement = dict[str, Any]


def install() -> None:
    """Register the service and the names of its actions."""
    app.SERVICE_HANDLERS[SERVICE] = _handle
    router.SERVICE_PATTERNS[SERVICE] = {}
    iam_actions.SERVICE_TO_IAM_NAMESPACE[SERVICE] = SERVICE
    name_action = iam_actions.extract_iam_action

    def name_checks(service: str, method: str, path: str, *args: Any) -> str | None:
        if service == SERVICE:
            return f"{SERVICE}:{_ACTIONS.get(path, 'Unknown')}"
        named: str | None = name_action(service, method, path, *args)
        return named

    iam_actions.extract_iam_action = name_checks


async def _handle(
    method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
) -> tuple[int, dict[str, str], bytes]:
    request = json.loads(body or b"{}")
    operations = {"ValidatePolicy": validate_policy, "CheckNoNewAccess": check_no_new_access}
    answer = operations[_ACTIONS[path]](request)
    return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()


def validate_policy(request: dict[str, Any]) -> dict[str, Any]:
    """One finding of type ERROR for what IAM itself would refuse."""
    problem = iam_evaluator.validate_policy_document(request["policyDocument"])
    finding = {
        "findingType": "ERROR",
        "issueCode": "SYNTAX_ERROR",
        "findingDetails": problem,
        "learnMoreLink": "",
        "locations": [],
    }
    return {"findings": [finding] if problem else []}


def check_no_new_access(request: dict[str, Any]) -> dict[str, Any]:
    """`PASS` if the new policy allows nothing that the existing one does not."""
    new = _statements(request["newPolicyDocument"])
    old = _statements(request["existingPolicyDocument"])
    gained = [s for s in new if s["Effect"] == "Allow" and not any(_within(s, o) for o in old)]
    lifted = [s for s in old if s["Effect"] == "Deny" and s not in new]
    if gained or lifted:
        return {"result": "FAIL", "message": "The modified permissions grant new access."}
    return {"result": "PASS", "message": "The modified permissions do not grant new access."}


def _statements(document: str) -> list[Statement]:
    found = json.loads(document)["Statement"]
    return [found] if isinstance(found, dict) else list(found)


def _within(new: Statement, old: Statement) -> bool:
    rest = [{k: v for k, v in s.items() if k not in ("Sid", "Action")} for s in (new, old)]
    if rest[0] != rest[1] or "Action" not in new or "Action" not in old:
        return new == old
    return all(
        any(fnmatch.fnmatchcase(a.lower(), o.lower()) for o in _listed(old["Action"]))
        for a in _listed(new["Action"])
    )


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value

"""IAM knows each Lambda call by its own action, and an invocation by what is invoked.

Under enforcement MiniStack takes ``UpdateAlias`` for ``ListAliases``, the concurrency calls for
``PutFunctionConcurrency`` and provisioned concurrency for function calls: right policies are
denied, wrong ones pass. It takes an invocation of a version or alias for one of the function
itself, which AWS checks against ``function:<name>:<qualifier>``.
"""

from __future__ import annotations

from typing import Any

from ministack.core import iam_actions

PATCHES: tuple[str, ...] = (
    "ministack.core.iam_actions._lambda_action",
    "ministack.core.iam_actions._query_param",
    "ministack.core.iam_actions.extract_resource_arn",
)

_ALIAS = {"GET": "GetAlias", "PUT": "UpdateAlias", "DELETE": "DeleteAlias"}
_SUB_RESOURCES = {
    "concurrency": {
        "GET": "GetFunctionConcurrency",
        "PUT": "PutFunctionConcurrency",
        "DELETE": "DeleteFunctionConcurrency",
    },
    "provisioned-concurrency": {
        "GET": "GetProvisionedConcurrencyConfig",
        "PUT": "PutProvisionedConcurrencyConfig",
        "DELETE": "DeleteProvisionedConcurrencyConfig",
    },
}


def install() -> None:
    """Name those calls, and what they invoke, before MiniStack guesses."""
    _name_actions()
    _name_what_is_invoked()


def _name_actions() -> None:
    guess = iam_actions._lambda_action

    def name_action(method: str, path: str) -> str | None:
        parts = [part for part in path.split("/") if part]
        if parts[-1:] == ["account-settings"]:
            return "GetAccountSettings"
        if "functions" in parts:
            # .../functions/<name>/<sub-resource>[/<item>]
            sub, *item = parts[parts.index("functions") + 2 :] or [""]
            named = _ALIAS if sub == "aliases" and item else _SUB_RESOURCES.get(sub, {})
            if method in named:
                return named[method]
        found: str | None = guess(method, path)
        return found

    iam_actions._lambda_action = name_action


def _name_what_is_invoked() -> None:
    resource_arn = iam_actions.extract_resource_arn

    def qualified_arn(
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query_params: dict[str, Any],
        *place: str,
    ) -> str:
        found = str(resource_arn(service, method, path, headers, body, query_params, *place))
        qualifier = iam_actions._query_param(query_params, "Qualifier")
        invoked = service == "lambda" and path.rstrip("/").endswith("/invocations")
        return f"{found}:{qualifier}" if invoked and qualifier else found

    iam_actions.extract_resource_arn = qualified_arn

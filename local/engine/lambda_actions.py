"""IAM knows each Lambda call by its own action.

Under enforcement MiniStack takes ``UpdateAlias`` for ``ListAliases``, the concurrency calls for
``PutFunctionConcurrency`` and provisioned concurrency for function calls: right policies are
denied, wrong ones pass.
"""

from __future__ import annotations

from ministack.core import iam_actions

PATCHES: tuple[str, ...] = ("ministack.core.iam_actions._lambda_action",)

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
    """Name those calls before MiniStack guesses."""
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

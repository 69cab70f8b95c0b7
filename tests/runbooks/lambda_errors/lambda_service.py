"""Lambda as far as lambda_errors uses it."""

from types import SimpleNamespace
from typing import Any

FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:chat"
_IAM_ACTIONS = {"Invoke": "InvokeFunction"}


def failure(code: str) -> dict[str, Any]:
    """An error of AWS's shape."""
    return {"Error": {"Code": code, "Message": "why"}}


class LambdaService:
    """The function `chat` with its alias `live` on version 7.

    Answers every call of a client, and knows revisions and weights, which moto does not.
    """

    def __init__(self, client: Any, calls: list[str]) -> None:
        self.calls = calls
        self.version, self.revision = "7", 1
        self.weights: dict[str, float] = {}
        self.exists = True
        self.configurations = {v: {"State": "Active"} for v in ("$LATEST", "5", "6", "7", "8")}
        self.invocation: dict[str, Any] = {"StatusCode": 200}
        self.errors: dict[str, str] = {}
        self.invoked: list[dict[str, Any]] = []
        self._operations = {
            "GetAlias": self._get_alias,
            "UpdateAlias": self._update_alias,
            "GetFunctionConfiguration": self._get_configuration,
            "Invoke": self._invoke,
        }
        client.meta.events.register("provide-client-params.lambda", self._note)
        client.meta.events.register("before-call.lambda", self._answer)

    def point(self, version: str, **weights: float) -> None:
        """Somebody moves the alias: `point("7", v8=0.1)`."""
        self.version, self.weights = version, {k[1:]: v for k, v in weights.items()}
        self.revision += 1

    @property
    def place(self) -> tuple[str, dict[str, float]]:
        """Where the alias points."""
        return self.version, self.weights

    def _note(self, params: dict[str, Any], **_: Any) -> None:
        self._asked = params

    def _answer(self, model: Any, **_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        self.calls.append(f"lambda:{_IAM_ACTIONS.get(model.name, model.name)}")
        if model.name in self.errors:
            answer = failure(self.errors[model.name])
        else:
            answer = self._operations[model.name](self._asked)
        status = 400 if "Error" in answer else 200
        return SimpleNamespace(status_code=status), {"ResponseMetadata": {}, **answer}

    def _get_alias(self, asked: dict[str, Any]) -> dict[str, Any]:
        if not self.exists or (asked["FunctionName"], asked["Name"]) != ("chat", "live"):
            return failure("ResourceNotFoundException")
        return {
            "AliasArn": f"{FUNCTION_ARN}:live",
            "FunctionVersion": self.version,
            "RoutingConfig": {"AdditionalVersionWeights": dict(self.weights)},
            "RevisionId": str(self.revision),
        }

    def _update_alias(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["RevisionId"] != str(self.revision):
            return failure("PreconditionFailedException")
        self.point(asked["FunctionVersion"])
        self.weights = asked["RoutingConfig"]["AdditionalVersionWeights"]
        return self._get_alias(asked)

    def _get_configuration(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["Qualifier"] not in self.configurations:
            return failure("ResourceNotFoundException")
        secret = {"Variables": {"API_KEY": "hunter2"}}
        return {**self.configurations[asked["Qualifier"]], "Environment": secret}

    def _invoke(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.invoked.append(asked)
        return {"ExecutedVersion": self.version, **self.invocation}

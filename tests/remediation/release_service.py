"""Lambda as far as a release uses it: revisions, versions, weights and variables.

Answers every call of a client, whose parameters botocore has checked against AWS's model. Unlike
the engine it refuses a `CodeSha256` that is not the function's, and a stale `RevisionId`.
"""

import copy
import json
from types import SimpleNamespace
from typing import Any

FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:chat"
ONE, TWO = "b25l" * 10 + "b25=", "dHdv" * 10 + "dHc="


FIRST, SECOND = "1" * 32, "2" * 32  # versions of the secret


def failure(code: str) -> dict[str, Any]:
    """An error of AWS's shape."""
    return {"Error": {"Code": code, "Message": "why"}}


class ReleaseService:
    """The function `chat` with code ONE in version 7, which its alias `live` serves."""

    def __init__(self, client: Any) -> None:
        self.made: list[tuple[str, dict[str, Any]]] = []
        self.failing: dict[str, str] = {}
        self.packages = {"chat/2.zip": TWO}
        self.latest: dict[str, Any] = {
            "FunctionName": "chat",
            "Version": "$LATEST",
            "CodeSha256": ONE,
            "MemorySize": 128,
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "RevisionId": "1",
            "Environment": {"Variables": {"MODE": "old", "KEPT": "kept"}},
        }
        self.versions: dict[str, dict[str, Any]] = {"7": self._copy("7", "")}
        self.alias: dict[str, Any] = {"version": "7", "weights": {}, "revision": "a1"}
        self.answers: dict[str, dict[str, Any]] = {}
        client.meta.events.register("provide-client-params.lambda", self._note)
        client.meta.events.register("before-call.lambda", self._answer)

    @property
    def served(self) -> tuple[str, dict[str, float]]:
        return self.alias["version"], self.alias["weights"]

    @property
    def variables(self) -> dict[str, str]:
        found: dict[str, str] = self.latest["Environment"]["Variables"]
        return found

    def changing(self) -> list[str]:
        """Changing calls, in order."""
        return [name for name, _ in self.made if name.startswith(("Update", "Publish"))]

    def asked(self, operation: str) -> dict[str, Any]:
        """Arguments of the last call of an operation."""
        return next(asked for name, asked in reversed(self.made) if name == operation)

    def touch(self, **fields: Any) -> None:
        """Somebody changes the unpublished function."""
        self.latest.update(fields)
        self.latest["RevisionId"] += "+"

    def point(self, version: str, **weights: float) -> None:
        """Somebody moves the alias: `point("7", v8=0.1)`."""
        moved = {k[1:]: v for k, v in weights.items()}
        self.alias = {"version": version, "weights": moved, "revision": "theirs"}

    def _copy(self, version: str, description: str) -> dict[str, Any]:
        made = copy.deepcopy(self.latest)
        return {**made, "Version": version, "Description": description, "RevisionId": f"v{version}"}

    def _note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.made.append((model.name, params))

    def _answer(self, model: Any, **_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        _, asked = self.made[-1]
        code = self.failing.get(model.name)
        answer = failure(code) if code else getattr(self, f"_{model.name}")(asked)
        status = 400 if "Error" in answer and "Code" in answer["Error"] else 200
        return SimpleNamespace(status_code=status), {"ResponseMetadata": {}, **answer}

    def _GetFunctionConfiguration(self, asked: dict[str, Any]) -> dict[str, Any]:
        wanted = asked.get("Qualifier", "$LATEST")
        found = self.latest if wanted == "$LATEST" else self.versions.get(wanted)
        return copy.deepcopy(found) if found else failure("ResourceNotFoundException")

    def _ListVersionsByFunction(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"Versions": [self.latest, *self.versions.values()]}

    def _GetAccountSettings(self, _: dict[str, Any]) -> dict[str, Any]:
        return {
            "AccountUsage": {"TotalCodeSize": 1_000},
            "AccountLimit": {"TotalCodeSize": 80_530_636_800},
        }

    def _UpdateFunctionCode(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["RevisionId"] != self.latest["RevisionId"]:
            return failure("PreconditionFailedException")
        self.touch(CodeSha256=self.packages[asked["S3Key"]])
        return self.latest

    def _UpdateFunctionConfiguration(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["RevisionId"] != self.latest["RevisionId"]:
            return failure("PreconditionFailedException")
        self.touch(Environment=copy.deepcopy(asked["Environment"]))
        return self.latest

    def _PublishVersion(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["RevisionId"] != self.latest["RevisionId"]:
            return failure("PreconditionFailedException")
        if asked["CodeSha256"] != self.latest["CodeSha256"]:
            return failure("InvalidParameterValueException")
        last = self.versions[max(self.versions, key=int)]
        same = ("CodeSha256", "MemorySize", "Environment")
        if all(last[k] == self.latest[k] for k in same):
            return last
        number = str(int(last["Version"]) + 1)
        self.versions[number] = self._copy(number, asked["Description"])
        return self.versions[number]

    def _GetAlias(self, _: dict[str, Any]) -> dict[str, Any]:
        return {
            "AliasArn": f"{FUNCTION_ARN}:live",
            "FunctionVersion": self.alias["version"],
            "RoutingConfig": {"AdditionalVersionWeights": dict(self.alias["weights"])},
            "RevisionId": self.alias["revision"],
        }

    def _UpdateAlias(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["RevisionId"] != self.alias["revision"]:
            return failure("PreconditionFailedException")
        self.alias = {
            "version": asked["FunctionVersion"],
            "weights": asked["RoutingConfig"]["AdditionalVersionWeights"],
            "revision": self.alias["revision"] + "+",
        }
        return self._GetAlias(asked)

    def _Invoke(self, asked: dict[str, Any]) -> dict[str, Any]:
        qualifier = asked["Qualifier"]
        version = self.alias["version"] if qualifier == "live" else qualifier
        return {"StatusCode": 200, "ExecutedVersion": version, **self.answers.get(version, {})}


class SecretService:
    """The secret `chat/variables` with versions; AWSCURRENT is the last."""

    def __init__(self, client: Any) -> None:
        self.texts = {FIRST: json.dumps({"MODE": "new", "ADDED": "added"})}
        self.failing: str | None = None
        client.meta.events.register("provide-client-params.secrets-manager", self._note)
        client.meta.events.register("before-call.secrets-manager", self._answer)

    def _note(self, params: dict[str, Any], **_: Any) -> None:
        self._asked = params

    def _answer(self, **_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        version = self._asked.get("VersionId", list(self.texts)[-1])
        if self.failing or version not in self.texts:
            answer = failure(self.failing or "ResourceNotFoundException")
        else:
            answer = {"VersionId": version, "SecretString": self.texts[version]}
        status = 400 if "Error" in answer else 200
        return SimpleNamespace(status_code=status), {"ResponseMetadata": {}, **answer}

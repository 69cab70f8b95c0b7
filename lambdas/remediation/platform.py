"""The protected platform: what may be touched, and within which limits.

The file is validated at synth (`stacks/config.py`) and travels in the functions' zip; here it is
only read. Standard library only.
"""

import functools
import json
import os
from dataclasses import field
from typing import Any

from lambdas.remediation.contracts import Mode, encode
from lambdas.remediation.frozen import Frozen

# Beside the `lambdas` package in the functions' zip; put there by stacks/bundling.py. A text:
# importing pathlib would cost every function as much as all its contracts.
PACKAGED = __file__.rpartition("lambdas")[0] + "platform.json"


class Table(Frozen):
    """A DynamoDB table and the global secondary indexes to watch.

    `pointer_parameter` is the SSM parameter that tells the application which table to use;
    `export_bucket` is where its exports go.
    """

    table_name: str
    indexes: tuple[str, ...] = ()
    pointer_parameter: str | None = None
    export_bucket: str | None = None


class Function(Frozen):
    """A Lambda function. Without an alias there is nothing to roll back to: it only hands over.

    `smoke_event` is a payload that changes nothing and must be answered without an error;
    `log_group` is where its errors are read (its default group if left out). `code_bucket` is
    where its packages come from, `variables_secret_id` where values of its variables do.
    """

    function_name: str
    alias: str | None = None
    log_group: str | None = None
    smoke_event: dict[str, Any] | None = None
    code_bucket: str | None = None
    variables_secret_id: str | None = None

    @property
    def dimensions(self) -> dict[str, str]:
        """Dimensions of its metrics: of the traffic through the alias, where there is one."""
        if self.alias is None:
            return {"FunctionName": self.function_name}
        return {
            "FunctionName": self.function_name,
            "Resource": f"{self.function_name}:{self.alias}",
        }

    @property
    def logs(self) -> str:
        """Log group that its errors are read from."""
        return self.log_group or f"/aws/lambda/{self.function_name}"


class Api(Frozen):
    """An API Gateway API and the stage that serves the platform. `protocol`: REST or HTTP.

    `functions` and `tables` are those behind it; all of the platform's if left out.
    """

    api_name: str
    api_id: str
    stage: str
    protocol: str = "REST"
    functions: tuple[str, ...] | None = None
    tables: tuple[str, ...] | None = None

    @property
    def dimensions(self) -> dict[str, str]:
        """Dimensions of its metrics: REST APIs report under name, HTTP APIs under id."""
        if self.protocol == "REST":
            return {"ApiName": self.api_name, "Stage": self.stage}
        return {"ApiId": self.api_id, "Stage": self.stage}


class CloudFormationStack(Frozen):
    """A stack that deploys the platform.

    `template_bucket` is where prepared templates come from and replaced ones are kept;
    `execution_role` is the role CloudFormation changes the resources with.
    """

    stack_name: str
    template_bucket: str | None = None
    execution_role: str | None = None


class Bucket(Frozen):
    """An S3 bucket with old artifacts. `prefixes` are those whose objects may expire."""

    bucket_name: str
    prefixes: tuple[str, ...] = ()


class UserPool(Frozen):
    """A Cognito user pool. `groups` are those that a new user may be added to."""

    user_pool_id: str
    groups: tuple[str, ...] = ()


class Secret(Frozen):
    """A secret that holds an API key.

    `issuer` says who makes a new key: `secrets_manager` (random), or `iam` (a service-specific
    credential of `user_name` for `service_name`). `key_field` is the field with the key where the
    value is a JSON object; without it the whole value is the key. `consumers` are the functions
    that read it.
    """

    secret_id: str
    key_field: str | None = None
    issuer: str = "secrets_manager"
    user_name: str | None = None
    service_name: str | None = None
    consumers: tuple[str, ...] = ()


class Dashboard(Frozen):
    """A CloudWatch dashboard of the platform."""

    dashboard_name: str


class IamRole(Frozen):
    """A role of the platform. `must_allow` are actions that no smaller policy may take away."""

    role_name: str
    must_allow: tuple[str, ...] = ()


class RunbookSettings(Frozen):
    """What the platform team sets for one runbook; absent values keep the declaration's.

    `schedule` is an EventBridge expression (`rate(1 day)`, `cron(...)`) that starts it on every
    target.
    """

    mode: Mode | None = None
    limits: dict[str, int] = field(default_factory=dict)
    options: dict[str, bool] = field(default_factory=dict)
    schedule: str | None = None


class Notifications(Frozen):
    """Who is told: e-mail addresses subscribed to the operator topic."""

    email: tuple[str, ...] = ()


class Platform(Frozen):
    """The whole platform file."""

    name: str
    mode: Mode | None = None
    max_changes_per_hour: int = 6
    tables: tuple[Table, ...] = ()
    functions: tuple[Function, ...] = ()
    apis: tuple[Api, ...] = ()
    stacks: tuple[CloudFormationStack, ...] = ()
    buckets: tuple[Bucket, ...] = ()
    user_pools: tuple[UserPool, ...] = ()
    secrets: tuple[Secret, ...] = ()
    dashboards: tuple[Dashboard, ...] = ()
    roles: tuple[IamRole, ...] = ()
    notifications: Notifications = field(default_factory=Notifications)
    runbooks: dict[str, RunbookSettings] = field(default_factory=dict)

    def settings(self, runbook: str) -> RunbookSettings:
        """Settings of one runbook, empty if the file has none."""
        return self.runbooks.get(runbook, RunbookSettings())

    def first(self, key: str) -> dict[str, Any]:
        """Fields of the first resource that is named by `key`; empty if the file has none."""
        listed = (entry for section in SECTIONS for entry in getattr(self, section))
        found = next((entry for entry in listed if hasattr(entry, key)), None)
        return {n: v for n, v in encode(found).items() if v is not None} if found else {}

    def table(self, name: str) -> Table:
        """The table of that name."""
        return next(t for t in self.tables if t.table_name == name)

    def function(self, name: str) -> Function:
        """The function of that name."""
        return next(f for f in self.functions if f.function_name == name)

    def secret(self, secret_id: str) -> Secret:
        """The secret of that name."""
        return next(s for s in self.secrets if s.secret_id == secret_id)

    def api(self, name: str) -> Api:
        """The API of that name."""
        return next(a for a in self.apis if a.api_name == name)

    def stack(self, name: str) -> CloudFormationStack:
        """The stack of that name."""
        return next(s for s in self.stacks if s.stack_name == name)

    def behind(self, api: Api) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the functions and of the tables that serve an API."""
        functions = tuple(f.function_name for f in self.functions)
        tables = tuple(t.table_name for t in self.tables)
        return (
            functions if api.functions is None else api.functions,
            tables if api.tables is None else api.tables,
        )


# Lists of the file, by key: the resources of one kind.
SECTIONS: dict[str, type[Frozen]] = {
    "tables": Table,
    "functions": Function,
    "apis": Api,
    "stacks": CloudFormationStack,
    "buckets": Bucket,
    "user_pools": UserPool,
    "secrets": Secret,
    "dashboards": Dashboard,
    "roles": IamRole,
}


def parse(data: dict[str, Any]) -> Platform:
    """Platform from the (already validated) JSON object."""
    mode = data.get("mode")
    return Platform(
        name=data["name"],
        mode=Mode(mode) if mode else None,
        max_changes_per_hour=data.get("max_changes_per_hour", 6),
        **{
            section: tuple(_listed(kind, entry) for entry in data.get(section, ()))
            for section, kind in SECTIONS.items()
        },
        notifications=Notifications(email=tuple(data.get("notifications", {}).get("email", ()))),
        runbooks={name: _settings(s) for name, s in data.get("runbooks", {}).items()},
    )


def _listed(kind: Any, data: dict[str, Any]) -> Any:
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})


def _settings(data: dict[str, Any]) -> RunbookSettings:
    mode = data.get("mode")
    return RunbookSettings(
        mode=Mode(mode) if mode else None,
        limits=dict(data.get("limits", {})),
        options=dict(data.get("options", {})),
        schedule=data.get("schedule"),
    )


@functools.cache
def load(path: str | os.PathLike[str] = PACKAGED) -> Platform:
    """Platform from a file; cached for the life of the process."""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        return parse(json.load(file))

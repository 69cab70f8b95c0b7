"""A service of the platform under test: an API stage, and the function behind its alias."""

from __future__ import annotations

import io
import json
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from local.engine.process import ACCOUNT_ID, REGION, Engine

ALIAS = "live"
STAGE = "prod"
# Enough for a runbook to judge by, too few for the two bad periods that raise an alarm.
FEW = 5
# Good for every request but a poisoned one: then no release is to blame.
GOOD = """
def handle(event, context):
    if "poison" in str(event.get("body")):
        raise ConnectionError("the payment provider does not answer")
    return {"statusCode": 200, "body": "ok"}
"""
BAD = """
def handle(event, context):
    return {"statusCode": 200, "body": event["no-such-key"]}
"""


def function_name(number: int) -> str:
    return f"orders-{number:02}"


def api_name(number: int) -> str:
    return f"orders-api-{number:02}"


def api_id(number: int) -> str:
    return f"ordersapi{number // 36}"[:9] + "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36]


def table_name(number: int, tables: int) -> str:
    """The table behind a service; from the end, for the tests of tables begin at the start."""
    return f"Orders-{tables - 1 - number:02}"


def listed(count: int, *, tables: int) -> dict[str, Any]:
    """Sections of the platform file for that many services."""
    numbers = range(count)
    return {
        "functions": [
            {"function_name": function_name(n), "alias": ALIAS, "smoke_event": {"smoke": True}}
            for n in numbers
        ],
        "apis": [
            {
                "api_name": api_name(n),
                "api_id": api_id(n),
                "stage": STAGE,
                "functions": [function_name(n)],
                "tables": [table_name(n, tables)],
            }
            for n in numbers
        ],
    }


class Service:
    """One API with its function, which no other test uses."""

    def __init__(self, engine: Engine, number: int, *, tables: int) -> None:
        self.table = table_name(number, tables)
        self.function = function_name(number)
        self.api = api_name(number)
        self.api_id = api_id(number)
        self._lambda = engine.client("lambda")
        self._apis = engine.client("apigateway")
        self._iam = engine.client("iam")
        self._url = f"{engine.url}/restapis/{self.api_id}/{STAGE}/_user_request_/orders"
        self._create()

    @property
    def function_arn(self) -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{self.function}"

    @property
    def stage_arn(self) -> str:
        return f"arn:aws:apigateway:{REGION}::/restapis/{self.api_id}/stages/{STAGE}"

    @property
    def function_alarm(self) -> str:
        return f"remediation-{self.function}-errors"

    @property
    def api_alarm(self) -> str:
        return f"remediation-{self.api}-{STAGE}-5xx"

    # --- what a pipeline does ---

    def _create(self) -> None:
        self._iam.create_role(
            RoleName=self.function,
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}),
        )
        self._lambda.create_function(
            FunctionName=self.function,
            Runtime="python3.13",
            Handler="handler.handle",
            Role=f"arn:aws:iam::{ACCOUNT_ID}:role/{self.function}",
            Code={"ZipFile": _package(GOOD, "1")},
        )
        self._settled()
        version = self._lambda.publish_version(FunctionName=self.function)["Version"]
        self._lambda.create_alias(FunctionName=self.function, Name=ALIAS, FunctionVersion=version)
        self._apis.create_rest_api(name=self.api, tags={"ms-custom-id": self.api_id})
        root = self._apis.get_resources(restApiId=self.api_id)["items"][0]["id"]
        resource = self._apis.create_resource(
            restApiId=self.api_id, parentId=root, pathPart="orders"
        )["id"]
        self._method = {"restApiId": self.api_id, "resourceId": resource, "httpMethod": "POST"}
        self._apis.put_method(**self._method, authorizationType="NONE")
        self.integrate(ALIAS)
        self.deploy()

    def integrate(self, qualifier: str) -> None:
        """Point the API at a version or alias; takes effect with the next deployment."""
        self._apis.put_integration(
            **self._method,
            type="AWS_PROXY",
            integrationHttpMethod="POST",
            uri=f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/"
            f"{self.function_arn}:{qualifier}/invocations",
        )

    def deploy(self, *, broken: bool = False) -> str:
        """Deploy the API to the stage; broken: its integration leads nowhere."""
        if broken:
            self.integrate("nowhere")
        made = self._apis.create_deployment(restApiId=self.api_id, stageName=STAGE)["id"]
        if broken:
            self.integrate(ALIAS)
        return str(made)

    def release(self, code: str = GOOD, label: str = "2") -> str:
        """Publish code and point the alias at it; gives the version."""
        self._lambda.update_function_code(FunctionName=self.function, ZipFile=_package(code, label))
        self._settled()
        version = self._lambda.publish_version(FunctionName=self.function)["Version"]
        self.point(version)
        return str(version)

    def point(self, version: str) -> None:
        self._lambda.update_alias(FunctionName=self.function, Name=ALIAS, FunctionVersion=version)

    def _settled(self) -> None:
        self._lambda.get_waiter("function_updated_v2").wait(
            FunctionName=self.function, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100}
        )

    # --- what is there now ---

    def version(self) -> str:
        alias = self._lambda.get_alias(FunctionName=self.function, Name=ALIAS)
        return str(alias["FunctionVersion"])

    def deployment(self) -> str:
        stage = self._apis.get_stage(restApiId=self.api_id, stageName=STAGE)
        return str(stage["deploymentId"])

    def call(self, body: str = "{}") -> int:
        """Status of one request through the API."""
        request = urllib.request.Request(self._url, data=body.encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def burst(self, body: str = "{}", *, requests: int = 20) -> None:
        """Requests enough for a runbook to judge by."""
        for _ in range(requests):
            self.call(body)

    @contextmanager
    def traffic(self, body: str | Callable[[], str] = "{}") -> Iterator[None]:
        """Real requests, for as long as the block runs."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(0.125):
                self.call(body if isinstance(body, str) else body())

        threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(15)


def _package(code: str, label: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr("handler.py", code)
        package.writestr("RELEASE", json.dumps(label))
    return buffer.getvalue()

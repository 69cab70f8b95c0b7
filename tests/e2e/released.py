"""A function of the platform under test that is released: its packages, versions and alias."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from local.engine.process import ACCOUNT_ID, REGION
from tests.e2e.product import Product

ALIAS = "live"
BUCKET = "release-packages"
SMOKE_EVENT = {"smoke": True}
# Fails as its variable says: at once, or only once it is given traffic.
CODE = """
import os

def handle(event, context):
    fails = os.environ.get("FAILS", "FAILS_IN_CODE")
    if fails == "always" or (fails == "traffic" and not event.get("smoke")):
        raise ValueError("a bad release")
    return {"release": "LABEL", "names": sorted(n for n in os.environ if n.startswith("APP_"))}
"""
LIMITS = {
    "poll_attempts": 40,
    "canary_interval_seconds": 1,
    "canary_attempts": 3,
    "canary_minimum_invocations": 2,
    "minimum_invocations": 3,
    "verify_attempts": 3,
    "hold_checks": 0,
}


def listed(name: str, **more: Any) -> dict[str, Any]:
    """Entry of the platform file."""
    return {"function_name": name, "alias": ALIAS, "smoke_event": SMOKE_EVENT, **more}


def package(label: str, fails: str = "") -> bytes:
    """The same bytes for the same label."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        entry = zipfile.ZipInfo("handler.py", (2026, 3, 2, 0, 0, 0))
        made.writestr(entry, CODE.replace("LABEL", label).replace("FAILS_IN_CODE", fails))
    return buffer.getvalue()


def sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


class Released:
    """A function on version 1 behind its alias, which no other test uses."""

    def __init__(self, product: Product, name: str, variables: dict[str, str] | None = None):
        self.name = name
        self._lambda = product.client("lambda")
        self._s3 = product.client("s3")
        with contextlib.suppress(product.client("iam").exceptions.EntityAlreadyExistsException):
            product.client("iam").create_role(
                RoleName=name,
                AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}),
            )
        self._lambda.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="handler.handle",
            Role=f"arn:aws:iam::{ACCOUNT_ID}:role/{name}",
            Code={"ZipFile": package("one")},
            Environment={"Variables": variables or {}},
        )
        self.settle()
        self._lambda.publish_version(FunctionName=name)
        self._lambda.create_alias(FunctionName=name, Name=ALIAS, FunctionVersion="1")

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{self.name}"

    def settle(self) -> None:
        self._lambda.get_waiter("function_updated_v2").wait(
            FunctionName=self.name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100}
        )

    def upload(self, label: str, fails: str = "") -> dict[str, str]:
        """Put a package into the bucket; gives the parameters that name it."""
        with contextlib.suppress(self._s3.exceptions.BucketAlreadyOwnedByYou):
            self._s3.create_bucket(Bucket=BUCKET)
        self._s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        data, key = package(label, fails), f"{self.name}/{label}.zip"
        version_id = self._s3.put_object(Bucket=BUCKET, Key=key, Body=data)["VersionId"]
        return {"key": key, "version_id": version_id, "sha256": sha256(data)}

    def alias(self) -> tuple[str, dict[str, float]]:
        """Version and weights."""
        found = self._lambda.get_alias(FunctionName=self.name, Name=ALIAS)
        weights = found.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        return found["FunctionVersion"], weights

    def point(self, version: str) -> None:
        self._lambda.update_alias(FunctionName=self.name, Name=ALIAS, FunctionVersion=version)

    def set_variables(self, **variables: str) -> None:
        """Somebody replaces the variables of the unpublished function."""
        self._lambda.update_function_configuration(
            FunctionName=self.name, Environment={"Variables": variables}
        )
        self.settle()

    def variables(self, qualifier: str = "$LATEST") -> dict[str, str]:
        found = self._lambda.get_function_configuration(FunctionName=self.name, Qualifier=qualifier)
        values: dict[str, str] = found.get("Environment", {}).get("Variables", {})
        return values

    def code(self, qualifier: str = "$LATEST") -> str:
        found = self._lambda.get_function_configuration(FunctionName=self.name, Qualifier=qualifier)
        return str(found["CodeSha256"])

    def versions(self) -> list[str]:
        found = self._lambda.list_versions_by_function(FunctionName=self.name)["Versions"]
        return [v["Version"] for v in found if v["Version"] != "$LATEST"]

    def call(self) -> Any:
        answer = self._lambda.invoke(FunctionName=self.name, Qualifier=ALIAS, Payload=b"{}")
        return json.loads(answer["Payload"].read())

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """Real invocations through the alias, for as long as the block runs."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(0.1):
                with contextlib.suppress(Exception):
                    self.call()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(15)

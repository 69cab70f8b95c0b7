"""Deploy a synthesised assembly by boto3: what `cdk deploy` does, without Node.

For tests only: an engine per session has to be up in a second, and under enforced IAM the CDK CLI
cannot publish assets to the engine. `make demo` deploys with the real CLI.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.engine.process import ACCOUNT_ID, REGION

BUCKET = f"cdk-hnb659fds-assets-{ACCOUNT_ID}-{REGION}"
BOOTSTRAP_VERSION = "/cdk-bootstrap/hnb659fds/version"


def deploy(client: Callable[[str], Any], assembly: Path, stack: str) -> dict[str, str]:
    """Upload the assets, create the stack, wait; gives its outputs."""
    s3, formation, ssm = client("s3"), client("cloudformation"), client("ssm")
    s3.create_bucket(Bucket=BUCKET)
    ssm.put_parameter(Name=BOOTSTRAP_VERSION, Value="30", Type="String", Overwrite=True)
    assets = json.loads((assembly / f"{stack}.assets.json").read_text())
    template = ""
    for file in assets["files"].values():
        source = assembly / file["source"]["path"]
        packed = file["source"]["packaging"] == "zip"
        body = zipped(source) if packed else source.read_bytes()
        for destination in file["destinations"].values():
            s3.put_object(Bucket=BUCKET, Key=destination["objectKey"], Body=body)
        if file["source"]["path"] == f"{stack}.template.json":
            template = next(iter(file["destinations"].values()))["objectKey"]
    formation.create_stack(
        StackName=stack,
        # By URL, as the CLI does: a body in the call may have 51,200 characters at most.
        TemplateURL=f"{s3.meta.endpoint_url}/{BUCKET}/{template}",
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
    )
    formation.get_waiter("stack_create_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    (described,) = formation.describe_stacks(StackName=stack)["Stacks"]
    return {o["OutputKey"]: o["OutputValue"] for o in described.get("Outputs", [])}


def zipped(folder: Path) -> bytes:
    """A folder as zip bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return buffer.getvalue()

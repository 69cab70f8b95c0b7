import json

import pytest
from botocore.exceptions import ClientError

from local.engine.process import Engine
from tests.local.workbench import Workbench

pytestmark = pytest.mark.engine


def test_report_names_what_the_role_may_call(bench: Workbench, name: str) -> None:
    statement = {"Effect": "Allow", "Action": ["s3:GetObject", "sqs:*"], "Resource": "*"}
    denied = {"Effect": "Deny", "Action": "sns:Publish", "Resource": "*"}
    role = bench.role(name, statement, denied)
    iam = bench.client("iam")
    shared = {"Version": "2012-10-17", "Statement": {**statement, "Action": "s3:PutObject"}}
    made = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(shared))
    iam.attach_role_policy(RoleName=name, PolicyArn=made["Policy"]["Arn"])
    job = iam.generate_service_last_accessed_details(Arn=role, Granularity="ACTION_LEVEL")
    report = iam.get_service_last_accessed_details(JobId=job["JobId"])
    found = {
        s["ServiceNamespace"]: [a["ActionName"] for a in s["TrackedActionsLastAccessed"]]
        for s in report["ServicesLastAccessed"]
    }
    assert found == {"s3": ["GetObject", "PutObject"], "sqs": []}
    assert not any("LastAuthenticated" in s for s in report["ServicesLastAccessed"])


def test_report_is_allowed_by_the_role_it_is_about(
    enforcing_engine: Engine, enforcing_bench: Workbench, name: str
) -> None:
    asked, other = enforcing_bench.role(name), enforcing_bench.role(f"{name}-other")
    statement = {
        "Effect": "Allow",
        "Action": "iam:GenerateServiceLastAccessedDetails",
        "Resource": asked,
    }
    caller = enforcing_bench.role(f"{name}-caller", statement)
    client = enforcing_bench.client_of_role("iam", caller, enforcing_engine.url)
    assert client.generate_service_last_accessed_details(Arn=asked)["JobId"]
    with pytest.raises(ClientError, match="iam:GenerateServiceLastAccessedDetails"):
        client.generate_service_last_accessed_details(Arn=other)

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.engine.process import Engine
from tests.local.workbench import Workbench

pytestmark = pytest.mark.engine

READ = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "*"}
WIDE = {**READ, "Sid": "Wide", "Action": ["s3:Get*", "s3:PutObject"]}
DENY = {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::closed/*"}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.mark.parametrize(
    ("new", "old", "result"),
    [
        ([READ], [WIDE], "PASS"),
        ([READ, DENY], [WIDE, DENY], "PASS"),
        ([DENY], [WIDE, DENY], "PASS"),
        ([WIDE], [READ], "FAIL"),
        ([{**READ, "Resource": "arn:aws:s3:::a/*"}, WIDE], [WIDE], "FAIL"),
        ([READ], [WIDE, DENY], "FAIL"),
        ([READ], [{**WIDE, "Condition": {"Bool": {"aws:SecureTransport": "true"}}}], "FAIL"),
    ],
)
def test_new_access_is_found(
    bench: Workbench, new: list[dict[str, Any]], old: list[dict[str, Any]], result: str
) -> None:
    answer = bench.client("accessanalyzer").check_no_new_access(
        newPolicyDocument=document(*new),
        existingPolicyDocument=document(*old),
        policyType="IDENTITY_POLICY",
    )
    assert answer["result"] == result


def test_policy_that_iam_would_refuse_has_an_error(bench: Workbench) -> None:
    validate = bench.client("accessanalyzer").validate_policy
    good = validate(policyDocument=document(READ), policyType="IDENTITY_POLICY")
    bad = validate(
        policyDocument=document({"Effect": "Allow", "Resource": "*"}), policyType="IDENTITY_POLICY"
    )
    assert good["findings"] == []
    assert [f["findingType"] for f in bad["findings"]] == ["ERROR"]


def test_checks_need_their_permission(
    enforcing_engine: Engine, enforcing_bench: Workbench, name: str
) -> None:
    statement = {"Effect": "Allow", "Action": "access-analyzer:ValidatePolicy", "Resource": "*"}
    role = enforcing_bench.role(name, statement)
    client = enforcing_bench.client_of_role("accessanalyzer", role, enforcing_engine.url)
    found = client.validate_policy(policyDocument=document(READ), policyType="IDENTITY_POLICY")
    assert found["findings"] == []
    with pytest.raises(ClientError, match="access-analyzer:CheckNoNewAccess"):
        client.check_no_new_access(
            newPolicyDocument=document(READ),
            existingPolicyDocument=document(READ),
            policyType="IDENTITY_POLICY",
        )

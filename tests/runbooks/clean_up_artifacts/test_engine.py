"""clean_up_artifacts as deployed: lifecycle rules on the engine's S3, which expires nothing itself.

Every object is new there, so what would expire at once is zero; what is older, ExpectedBucketOwner
and MFA delete are tested in test_steps.py against simulated answers.
"""

import itertools
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.product import Product, eventually
from tests.runbooks.clean_up_artifacts.engine import BUCKETS, PREFIX

pytestmark = pytest.mark.engine

_names = itertools.cycle(BUCKETS)
SOMEBODY_ELSES = {
    "ID": "logs",
    "Status": "Enabled",
    "Filter": {"Prefix": "logs/"},
    "Expiration": {"Days": 7},
}
OURS = {
    "ID": f"remediation-expire-{PREFIX}",
    "Status": "Enabled",
    "Filter": {"Prefix": PREFIX},
    "Expiration": {"Days": 60},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
}


def create_bucket(product: Product, *rules: dict[str, Any], versioned: bool = False) -> str:
    name, s3 = next(_names), product.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key=f"{PREFIX}one", Body=b"1")
    if versioned:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    if rules:
        s3.put_bucket_lifecycle_configuration(
            Bucket=name, LifecycleConfiguration={"Rules": list(rules)}
        )
    return name


def rules(product: Product, bucket: str) -> list[dict[str, Any]]:
    s3 = product.client("s3")
    try:
        return list(s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
            raise
        return []


def clean_up(product: Product, **given: Any) -> dict[str, Any]:
    return product.run(given, machine=product.machine("clean-up-artifacts"))


def test_rule_is_added_to_the_others_and_taken_back(product: Product) -> None:
    bucket = create_bucket(product, SOMEBODY_ELSES)

    answer = clean_up(product, target={"bucket_name": bucket}, parameters={"days": 60})
    added = rules(product, bucket)
    undone = clean_up(product, undo=answer["run_id"])

    assert (answer["outcome"], added) == ("verified", [SOMEBODY_ELSES, OURS]), answer["reason"]
    assert (undone["outcome"], rules(product, bucket)) == ("verified", [SOMEBODY_ELSES])
    assert undone["verification"]["reason"] == (
        "the rule is taken back. Objects that have expired do not come back."
    )


def test_undo_of_the_only_rule_leaves_no_configuration(product: Product) -> None:
    bucket = create_bucket(product, versioned=True)

    answer = clean_up(product, target={"bucket_name": bucket}, parameters={"days": 60})
    (added,) = rules(product, bucket)
    undone = clean_up(product, undo=answer["run_id"])

    assert added == {**OURS, "NoncurrentVersionExpiration": {"NoncurrentDays": 30}}
    assert (undone["outcome"], rules(product, bucket)) == ("verified", [])


def test_observe_shows_the_rule_and_sets_none(product: Product) -> None:
    bucket = create_bucket(product, SOMEBODY_ELSES)

    answer = clean_up(product, target={"bucket_name": bucket}, mode="observe")

    assert answer["outcome"] == "proposed"
    (call,) = answer["plan"]["calls"]
    assert call["after"][f"rule/{OURS['ID']}"]["Expiration"] == {"Days": 90}
    assert rules(product, bucket) == [SOMEBODY_ELSES]


def test_proposed_rule_waits_for_a_yes(product: Product) -> None:
    bucket = create_bucket(product)
    given = {"target": {"bucket_name": bucket}, "mode": "propose"}
    execution = product.start(given, machine=product.machine("clean-up-artifacts"))
    run_id = f"clean-up-artifacts:{execution.rpartition(':')[2]}"
    item = eventually(
        lambda: "approval_token" in (found := product.record(run_id)) and found, what="the token"
    )
    before = rules(product, bucket)

    yes = {"run_id": run_id, "plan_hash": item["plan_hash"], "decision": "approve"}
    product.run(yes, machine=product.approve_machine)

    assert product.ended(execution)["outcome"] == "verified"
    assert (before, len(rules(product, bucket))) == ([], 1)


def test_rule_that_is_there_already_is_refused(product: Product) -> None:
    bucket = create_bucket(product, OURS)

    answer = clean_up(product, target={"bucket_name": bucket}, parameters={"days": 60})

    assert answer["outcome"] == "refused"
    assert answer["reason"] == (
        f"nothing to do: rule remediation-expire-renders/ of bucket {bucket} expires renders/ "
        "after 60 days already"
    )


def test_rule_and_undo_with_the_deployed_roles(enforced: Product) -> None:
    bucket = create_bucket(enforced, SOMEBODY_ELSES, versioned=True)

    answer = clean_up(enforced, target={"bucket_name": bucket}, parameters={"days": 60})
    undone = clean_up(enforced, undo=answer["run_id"])

    assert (answer["outcome"], undone["outcome"]) == ("verified", "verified"), answer["reason"]
    assert rules(enforced, bucket) == [SOMEBODY_ELSES]

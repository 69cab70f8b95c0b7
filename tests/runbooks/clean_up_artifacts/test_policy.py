"""What clean_up_artifacts decides, with plain values."""

import dataclasses

import pytest

from lambdas.remediation.contracts import Decision, Mode, Verdict
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.platform import Bucket
from lambdas.remediation.resources.bucket_lifecycle import OldObjects, Versioning, put_rule
from lambdas.runbooks.clean_up_artifacts import policy
from lambdas.runbooks.clean_up_artifacts.policy import Situation, Wanted
from lambdas.runbooks.clean_up_artifacts.runbook import CleanUpArtifactsLimits

ARN = "arn:aws:s3:::artifacts"
OWNER = "123456789012"
LIMITS = CleanUpArtifactsLimits()
BUCKET = Bucket(bucket_name="artifacts", prefixes=("renders/", "drafts/"))
ID = "remediation-expire-renders/"
RULE = {
    "ID": ID,
    "Status": "Enabled",
    "Filter": {"Prefix": "renders/"},
    "Expiration": {"Days": 90},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
}
LONGER = {**RULE, "Expiration": {"Days": 365}}
LOGS = {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 7}}
SITUATION = Situation(
    bucket_arn=ARN,
    owner=OWNER,
    app_prefix="remediation",
    wanted=Wanted(prefix="renders/", days=90),
    rules=[LOGS],
    versioning=Versioning(),
    old=OldObjects(objects=12, size_bytes=3_400_000),
    mode=Mode.PROPOSE,
    limits=LIMITS,
)


def decide(**changed):
    return policy.decide(dataclasses.replace(SITUATION, **changed))


class TestWanted:
    def test_the_only_prefix_and_the_default_age(self):
        bucket = Bucket(bucket_name="artifacts", prefixes=("renders/",))

        assert policy.wanted(bucket, None, None, LIMITS) == Wanted(prefix="renders/", days=90)

    def test_what_the_person_asks_for(self):
        asked = policy.wanted(BUCKET, "drafts/", 30, LIMITS)

        assert asked == Wanted(prefix="drafts/", days=30)

    def test_one_of_several_prefixes_must_be_named(self):
        with pytest.raises(InvalidRequestError) as error:
            policy.wanted(BUCKET, None, None, LIMITS)

        assert str(error.value) == "parameters.prefix: missing; one of renders/, drafts/"

    @pytest.mark.parametrize("prefix", ["", "render", "renders", "renders/2026/", "logs/"])
    def test_no_other_prefix_may_expire(self, prefix):
        with pytest.raises(InvalidRequestError) as error:
            policy.wanted(BUCKET, prefix, None, LIMITS)

        assert str(error.value).startswith(f"parameters.prefix: {prefix!r} may not expire; ")

    @pytest.mark.parametrize("days", [-1, 0, 29, 3_651])
    def test_age_outside_of_its_bounds(self, days):
        with pytest.raises(InvalidRequestError) as error:
            policy.wanted(BUCKET, "drafts/", days, LIMITS)

        assert str(error.value).startswith(f"parameters.days: {days} is outside 30 to 3650; ")

    def test_a_bucket_without_prefixes(self):
        with pytest.raises(PrerequisiteNotMetError) as error:
            policy.wanted(Bucket(bucket_name="artifacts"), None, None, LIMITS)

        assert "name prefixes in its entry under buckets in platform.json" in str(error.value)


class TestRuleId:
    def test_names_product_and_prefix(self):
        assert policy.rule_id("remediation", "renders/") == ID

    def test_two_long_prefixes_that_begin_alike_have_two_ids_that_s3_takes(self):
        first, second = (policy.rule_id("remediation", "x" * 300 + end) for end in ("a/", "b/"))

        assert first != second
        assert len(first) == len(second) == 255


class TestDecide:
    def test_one_rule_that_leaves_the_others_alone(self):
        plan = decide()

        assert plan.decision is Decision.CHANGE
        (call,) = plan.calls
        assert (call.api, call.resource) == ("s3:PutBucketLifecycleConfiguration", ARN)
        assert call.before == {"ExpectedBucketOwner": OWNER, f"rule/{ID}": None}
        assert call.after == {"ExpectedBucketOwner": OWNER, f"rule/{ID}": RULE}
        assert call.reversible is True

    def test_says_what_expires_at_once_and_that_it_is_gone_then(self):
        plan = decide()

        assert plan.reason == (
            "Expire objects of artifacts under renders/ at an age of 90 days. 12 objects "
            "(3,400,000 bytes) are older and expire at once. Objects that have expired do not "
            "come back."
        )
        assert plan.evidence == {
            "objects": 12,
            "size_bytes": 3_400_000,
            "noncurrent_versions": 0,
            "counted_all": True,
            "versioned": False,
            "other_rules": 1,
        }

    def test_says_when_there_are_more_than_were_counted(self):
        plan = decide(old=OldObjects(objects=900, size_bytes=1, complete=False))

        assert "more than 900 objects" in plan.reason

    def test_old_versions_expire_too(self):
        plan = decide(
            versioning=Versioning(versioned=True), old=OldObjects(objects=1, noncurrent_versions=5)
        )

        (call,) = plan.calls
        assert call.after[f"rule/{ID}"] == {
            **RULE,
            "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
        }
        assert "get a delete marker at once, the data goes 30 days later" in plan.reason
        assert "5 old versions may be deleted at once." in plan.reason

    def test_own_earlier_rule_is_replaced(self):
        earlier = {**RULE, "Expiration": {"Days": 365}}

        (call,) = decide(rules=[LOGS, earlier]).calls

        assert call.before[f"rule/{ID}"] == earlier

    def test_nothing_to_do(self):
        with pytest.raises(PrerequisiteNotMetError) as error:
            decide(rules=[RULE])

        assert str(error.value).startswith("nothing to do: ")

    def test_mfa_delete(self):
        with pytest.raises(PrerequisiteNotMetError) as error:
            decide(versioning=Versioning(versioned=True, mfa_delete=True))

        assert "MFA delete" in str(error.value)

    def test_a_bucket_that_is_full_of_rules_takes_a_change_of_the_own_one_only(self):
        others = [{**LOGS, "ID": str(n)} for n in range(999)]
        earlier = {**RULE, "Expiration": {"Days": 365}}

        assert len(decide(rules=[*others, earlier]).calls) == 1
        with pytest.raises(PrerequisiteNotMetError) as error:
            decide(rules=[*others, LOGS])
        assert str(error.value) == (
            "bucket artifacts: has 1000 lifecycle rules, S3 takes no more; delete one"
        )

    @pytest.mark.parametrize(
        "old",
        [
            OldObjects(objects=1_001),
            OldObjects(objects=1, noncurrent_versions=1_000),
            OldObjects(objects=1, complete=False),
        ],
        ids=str,
    )
    def test_a_run_that_does_not_ask_expires_few_at_once(self, old):
        with pytest.raises(PrerequisiteNotMetError) as error:
            decide(mode=Mode.ACT, old=old)

        assert 'start again with "mode": "propose"' in str(error.value)
        assert len(decide(mode=Mode.PROPOSE, old=old).calls) == 1
        assert len(decide(mode=Mode.OBSERVE, old=old).calls) == 1

    def test_as_many_as_the_limit_need_no_yes(self):
        assert len(decide(mode=Mode.ACT, old=OldObjects(objects=1_000)).calls) == 1


class TestJudge:
    CALL = put_rule(ARN, OWNER, None, RULE)

    def test_as_planned(self):
        found = policy.judge(self.CALL, self.CALL.after, undoing=False, final=False)

        assert found.verdict is Verdict.PASSED
        assert found.reason == (
            "the rule is in force. S3 deletes what it covers by itself, within days."
        )

    def test_undone(self):
        inverse = self.CALL.inverse()

        found = policy.judge(inverse, inverse.after, undoing=True, final=False)

        assert found.verdict is Verdict.PASSED
        assert found.reason.endswith("Objects that have expired do not come back.")

    def test_waits_for_s3_until_the_last_look(self):
        early = policy.judge(self.CALL, self.CALL.before, undoing=False, final=False)
        last = policy.judge(self.CALL, self.CALL.before, undoing=False, final=True)

        assert (early.verdict, last.verdict) == (Verdict.PENDING, Verdict.FAILED)


class TestUndo:
    def undo(self, before, after):
        return put_rule(ARN, OWNER, before, after).inverse()

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (None, RULE),
            (LONGER, RULE),
            ({**RULE, "Status": "Disabled"}, RULE),
        ],
        ids=["new rule", "longer", "disabled"],
    )
    def test_taking_an_expiry_back_needs_no_yes(self, before, after):
        policy.check_undo(self.undo(before, after), Mode.ACT)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (RULE, LONGER),
            (
                {**RULE, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}},
                {**RULE, "NoncurrentVersionExpiration": {"NoncurrentDays": 30}},
            ),
        ],
        ids=["objects", "versions"],
    )
    def test_putting_a_stricter_rule_back_asks_first(self, before, after):
        with pytest.raises(PrerequisiteNotMetError) as error:
            policy.check_undo(self.undo(before, after), Mode.ACT)

        assert 'start again with "mode": "propose"' in str(error.value)
        policy.check_undo(self.undo(before, after), Mode.PROPOSE)

"""Decisions of `clean_up_artifacts`: pure functions, no AWS call, no clock, no environment."""

import hashlib
from collections.abc import Sequence

from lambdas.remediation.contracts import (
    Check,
    Decision,
    Mode,
    Plan,
    PlannedCall,
    Verdict,
    Verification,
)
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.platform import Bucket
from lambdas.remediation.resources.bucket_lifecycle import (
    MAX_RULES,
    OldObjects,
    Rule,
    Versioning,
    put_rule,
    rule_of,
)
from lambdas.runbooks.clean_up_artifacts.runbook import CleanUpArtifactsLimits

_MAX_ID = 255
_DIGEST = 12
GONE_FOR_GOOD = "Objects that have expired do not come back."


class Wanted(Frozen):
    """What is to expire: objects whose keys begin with `prefix`, at an age of `days`."""

    prefix: str
    days: int


class Situation(Frozen):
    """Everything the plan rests on.

    Parameters
    ----------
    rules
        All of the bucket, this runbook's own among them.
    old
        What the rule would expire as soon as it is there.
    """

    bucket_arn: str
    owner: str
    app_prefix: str
    wanted: Wanted
    rules: Sequence[Rule]
    versioning: Versioning
    old: OldObjects
    mode: Mode
    limits: CleanUpArtifactsLimits


def wanted(
    bucket: Bucket, prefix: str | None, days: int | None, limits: CleanUpArtifactsLimits
) -> Wanted:
    """What the person asks for, completed.

    Raises
    ------
    InvalidRequestError
        The prefix is not one that may expire, or the age is outside its bounds.
    PrerequisiteNotMetError
        The platform file names no prefix of this bucket that may expire.
    """
    if not bucket.prefixes:
        raise PrerequisiteNotMetError(
            f"bucket {bucket.bucket_name}: nothing may expire; name prefixes in its entry under "
            "buckets in platform.json"
        )
    known = ", ".join(bucket.prefixes)
    if prefix is None and len(bucket.prefixes) > 1:
        raise InvalidRequestError(f"parameters.prefix: missing; one of {known}")
    if prefix is not None and prefix not in bucket.prefixes:
        raise InvalidRequestError(
            f"parameters.prefix: {prefix!r} may not expire; ask for one of {known}, or add it to "
            f"the prefixes of {bucket.bucket_name} in platform.json"
        )
    age = limits.default_days if days is None else days
    if not limits.minimum_days <= age <= limits.maximum_days:
        raise InvalidRequestError(
            f"parameters.days: {age} is outside {limits.minimum_days} to {limits.maximum_days}; "
            "the bounds are runbooks.clean_up_artifacts.limits.minimum_days and maximum_days in "
            "platform.json"
        )
    return Wanted(prefix=prefix or bucket.prefixes[0], days=age)


def rule_id(app_prefix: str, prefix: str) -> str:
    """ID of this runbook's rule for a prefix: always the same, and no other prefix's."""
    name = f"{app_prefix}-expire-{prefix}"
    if len(name) <= _MAX_ID:
        return name
    digest = hashlib.sha256(prefix.encode()).hexdigest()[:_DIGEST]
    return f"{name[: _MAX_ID - _DIGEST - 1]}-{digest}"


def rule(
    app_prefix: str, asked: Wanted, versioning: Versioning, limits: CleanUpArtifactsLimits
) -> Rule:
    """The rule that expires what is asked for."""
    made: Rule = {
        "ID": rule_id(app_prefix, asked.prefix),
        "Status": "Enabled",
        "Filter": {"Prefix": asked.prefix},
        "Expiration": {"Days": asked.days},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": limits.abort_upload_days},
    }
    if versioning.versioned:
        # An expiry only puts a delete marker on top there.
        made["NoncurrentVersionExpiration"] = {"NoncurrentDays": limits.noncurrent_days}
    return made


def decide(situation: Situation) -> Plan:
    """Plan the one call that sets the rule.

    Raises
    ------
    PrerequisiteNotMetError
        The rule is there already; the bucket can have no (further) rule; or a run that does not
        ask would expire more at once than its limit.
    """
    limits, asked, old = situation.limits, situation.wanted, situation.old
    name = situation.bucket_arn.rpartition(":")[2]
    if situation.versioning.mfa_delete:
        raise PrerequisiteNotMetError(
            f"bucket {name}: S3 takes no lifecycle rules with MFA delete; delete old versions by "
            "hand, or switch MFA delete off"
        )
    after = rule(situation.app_prefix, asked, situation.versioning, limits)
    before = next((r for r in situation.rules if r.get("ID") == after["ID"]), None)
    if before == after:
        raise PrerequisiteNotMetError(
            f"nothing to do: rule {after['ID']} of bucket {name} expires {asked.prefix} after "
            f"{asked.days} days already"
        )
    if before is None and len(situation.rules) >= MAX_RULES:
        raise PrerequisiteNotMetError(
            f"bucket {name}: has {MAX_RULES} lifecycle rules, S3 takes no more; delete one"
        )
    _check_unasked(situation, name)
    return Plan(
        decision=Decision.CHANGE,
        reason=f"Expire objects of {name} under {asked.prefix} at an age of {asked.days} days. "
        f"{_expiring(situation)} {GONE_FOR_GOOD}",
        calls=[put_rule(situation.bucket_arn, situation.owner, before, after)],
        evidence={
            "objects": old.objects,
            "size_bytes": old.size_bytes,
            "noncurrent_versions": old.noncurrent_versions,
            "counted_all": old.complete,
            "versioned": situation.versioning.versioned,
            "other_rules": len([r for r in situation.rules if r is not before]),
        },
    )


def _check_unasked(situation: Situation, name: str) -> None:
    limits, old = situation.limits, situation.old
    number = old.objects + old.noncurrent_versions
    if situation.mode is not Mode.ACT or (old.complete and number <= limits.max_expired_unasked):
        return
    raise PrerequisiteNotMetError(
        f"bucket {name}: {_count(old, number)} objects and versions would expire at once, the "
        f"limit without a yes is {limits.max_expired_unasked} (max_expired_unasked); "
        'start again with "mode": "propose"'
    )


def _expiring(situation: Situation) -> str:
    old = situation.old
    objects = f"{_count(old, old.objects)} objects ({old.size_bytes:,} bytes)"
    if not situation.versioning.versioned:
        return f"{objects} are older and expire at once."
    return (
        f"{objects} are older and get a delete marker at once, the data goes "
        f"{situation.limits.noncurrent_days} days later. {_count(old, old.noncurrent_versions)} "
        "old versions may be deleted at once."
    )


def _count(old: OldObjects, number: int) -> str:
    return f"{number:,}" if old.complete else f"more than {number:,}"


def judge(
    call: PlannedCall, present: dict[str, object], *, undoing: bool, final: bool
) -> Verification:
    """Whether the rule is as planned; S3 may show the old one for some minutes.

    Parameters
    ----------
    undoing
        Whether it is about taking the rule back.
    final
        Whether this is the last look.
    """
    as_planned = present == call.after
    check = Check(
        name="rule as planned",
        observed=float(as_planned),
        threshold=1,
        samples=1,
        passed=as_planned,
    )
    if not as_planned:
        return Verification(
            verdict=Verdict.FAILED if final else Verdict.PENDING,
            reason="S3 does not show the rule as planned",
            checks=[check],
        )
    told = "the rule is taken back" if undoing else "the rule is in force"
    after = f" {GONE_FOR_GOOD}" if undoing else " S3 deletes what it covers by itself, within days."
    return Verification(verdict=Verdict.PASSED, reason=f"{told}.{after}", checks=[check])


def expires_more(before: Rule | None, after: Rule | None) -> bool:
    """Whether objects expire sooner under the second rule than under the first."""
    if after is None:
        return False
    if before is None:
        return True
    return any(
        _age(after, action, unit) < _age(before, action, unit)
        for action, unit in (
            ("Expiration", "Days"),
            ("NoncurrentVersionExpiration", "NoncurrentDays"),
        )
    )


def _age(found: Rule, action: str, unit: str) -> float:
    """Age in days; endless without that action."""
    if found.get("Status") != "Enabled":
        return float("inf")
    return float(found.get(action, {}).get(unit, "inf"))


def check_undo(call: PlannedCall, mode: Mode) -> None:
    """Refuse to put back, unasked, a rule under which more expires.

    Raises
    ------
    PrerequisiteNotMetError
        An undo would put back a rule under which objects expire sooner, and nobody is asked.
    """
    if mode is Mode.ACT and expires_more(rule_of(call.before), rule_of(call.after)):
        raise PrerequisiteNotMetError(
            f"undo: the recorded rule of {call.resource} expires objects sooner than the present "
            'one, for good; start again with "mode": "propose"'
        )

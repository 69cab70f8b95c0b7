"""Declaration of `clean_up_artifacts`: pure data, safe to import at synth."""

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import S3Bucket


class CleanUpArtifactsLimits(Limits):
    """Limits of this runbook. They bound how young an object may be when it expires."""

    cool_down_seconds: int = limit(60, 0, 86_400, "pause on a bucket after its rules were changed")
    verify_interval_seconds: int = limit(10, 1, 600, "wait between two verifications")
    hold_checks: int = limit(0, 0, 48, "looks at a rule that is in place; it cannot turn bad again")
    mitigation_lease_seconds: int = limit(
        2_592_000, 60, 2_592_000, "when a person is reminded of the undo; a rule may well stay"
    )
    default_days: int = limit(90, 1, 3_650, "age at which objects expire, unless a person says")
    minimum_days: int = limit(30, 1, 3_650, "lowest age that a person may ask for")
    maximum_days: int = limit(3_650, 1, 36_500, "highest age that a person may ask for")
    noncurrent_days: int = limit(
        30, 1, 3_650, "how long a versioned bucket keeps what expired or was replaced"
    )
    abort_upload_days: int = limit(7, 1, 365, "age at which an unfinished upload is given up")
    max_expired_unasked: int = limit(
        1_000, 0, 1_000_000, "objects and versions that may expire at once without a yes"
    )
    max_listed_pages: int = limit(20, 1, 100, "pages of 1,000 objects that are counted")


class CleanUpArtifactsParameters(Frozen):
    """What a person may set.

    Parameters
    ----------
    prefix
        Beginning of the keys of objects that may expire, one of the bucket's `prefixes` in the
        platform file. May be left out if there is just one.
    days
        Age at which they expire. Bounded by `minimum_days` and `maximum_days`; `default_days`
        if left out.
    """

    prefix: str | None = None
    days: int | None = None


RUNBOOK = Runbook(
    name="clean_up_artifacts",
    title="Clean-up of old artifacts",
    category="Data management",
    severity=Severity.P2,
    target=S3Bucket(),
    parameters=CleanUpArtifactsParameters,
    example={"days": 90},
    limits=CleanUpArtifactsLimits(),
    mode=Mode.PROPOSE,
    source="Operations Runbook, Data Management, Clean Up Old Artifacts",
    deviations=(
        "One rule is merged into the bucket's rules by its `ID`: the procedure's call replaces all "
        "of them, and has `Id`, which S3 does not know.",
        "The rule has a `Filter` instead of the rule's own `Prefix`, which S3 has deprecated.",
        "Objects expire, they do not move to GLACIER 30 days after creation first: that storage "
        "class is billed for at least 90 days, and they would be deleted after 60.",
        "Unfinished uploads are given up too, and on a versioned bucket old versions expire: "
        "otherwise an expiry only hides objects there, and saves nothing.",
        "What would expire at once is counted before anything is changed, and shown to the person "
        "who is asked. Text columns of `aws s3 ls` break at spaces in keys.",
        "Verified is that the rule is in force, not that objects are gone: S3 deletes them by "
        "itself, within days.",
        "Undo puts the recorded rule back, or takes the new one away. Objects that expired "
        "meanwhile do not come back.",
    ),
)

"""Declaration of `review_iam_permissions`: pure data, safe to import at synth."""

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import Role


class ReviewIamPermissionsLimits(Limits):
    """Limits of this runbook: what counts as unused, and how a smaller policy is watched."""

    max_changes_per_hour: int = limit(1, 1, 20, "times a role is narrowed in a clock hour")
    approval_timeout_seconds: int = limit(
        28_800, 1, 86_400, "how long a proposal waits for a yes; nothing is urgent here"
    )
    unused_days: int = limit(90, 1, 400, "time without a call after which an action is unused")
    minimum_role_age_days: int = limit(
        90, 0, 400, "age below which a role is not judged: it has not done all of its work yet"
    )
    error_rate_percent: int = limit(
        5, 1, 100, "failed invocations in percent that are too many, unless there were as many"
    )
    minimum_invocations: int = limit(
        10, 1, 100_000, "invocations after the change below which nothing is proven"
    )


class ReviewIamPermissionsParameters(Frozen):
    """What a person may set.

    Parameters
    ----------
    keep
        Actions that stay although they look unused, this time; `*` and `?` as in policies. What
        must stay every time is `must_allow` in the platform file.
    """

    keep: list[str] | None = None


RUNBOOK = Runbook(
    name="review_iam_permissions",
    title="IAM permissions",
    category="Security",
    severity=Severity.P2,
    target=Role(),
    parameters=ReviewIamPermissionsParameters,
    example={"keep": ["dynamodb:DeleteItem"]},
    limits=ReviewIamPermissionsLimits(),
    options={"edit_deployed_roles": False},
    mode=Mode.PROPOSE,
    schedulable=True,
    keep_when_ineffective=False,
    source="Operations Runbook, Security, Review IAM Permissions",
    deviations=(
        "Unused is what IAM's last accessed details say, action by action. The procedure makes an "
        "analyzer of type `ACCOUNT`, which finds access from outside and no unused permission; one "
        "for unused access is charged per role and month.",
        "Inline and managed policies are read, every page of them; the procedure reads one inline "
        "policy.",
        "Only inline policies of the role are changed. Customer-managed ones are reported: other "
        "roles may have them too, and a run that may write every policy of the account could do "
        "anything. AWS's own are named.",
        "Whole actions are taken out of Allow statements; Deny, `NotAction`, resources, conditions "
        "and the trust policy stay. An action goes if nothing in its service was called, or if IAM "
        "tracks it by itself and it was not. Actions on data are not tracked: they stay while "
        "their service is used. So do `iam:PassRole`, which is no call, and what Lambda needs to "
        "attach a function to a VPC, once in a long while.",
        "Wildcards such as `s3:Get*` are never spelled out: without the actions on data the list "
        "would be too short. They go only if all of their service is unused.",
        "IAM does not say since when an inline policy grants an action: one that was granted last "
        "week looks unused. That is why a person is asked, and what `must_allow` and `keep` are "
        "for.",
        "Before anything is proposed, Access Analyzer must find no error and no new access in the "
        "smaller policy, and the policy simulator must allow what must stay. Where either cannot "
        "be asked the run is refused.",
        "There is no parameter to apply: the mode says it. `observe` reports; `propose` reports "
        "and asks; without an answer the run ends `proposed`. Where nothing may be changed here it "
        "ends `proposed` too, with the smaller policy as evidence in the run's record: a role that "
        "CloudFormation deploys in this Region (put it into the CDK app; `edit_deployed_roles` "
        "allows the drift), one of the remediator's own, and one that no function of the platform "
        "file has. A schedule asks people whenever there is something to take out; with `mode` "
        "`observe` it only leaves a note. "
        "With nothing unused it is refused: nobody is told.",
        "AccessDenied is counted in the logs of the functions that have the role, and their error "
        "rate is measured, instead of CloudTrail, which takes a quarter of an hour and twice a "
        "second. One denial more than before takes the policy back at once. A permission that is "
        "needed once a quarter shows only then: undo keeps working.",
    ),
)

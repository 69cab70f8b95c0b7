"""Steps of `clean_up_artifacts`: read through resources, decide in policy, return a contract."""

from datetime import timedelta

from lambdas.remediation import changes
from lambdas.remediation.contracts import Change, Kind, Plan, Prepared, Run, Verification
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.platform import Platform
from lambdas.remediation.resources.bucket_lifecycle import BucketLifecycles
from lambdas.remediation.settings import settings
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.remediation.targets import place_of
from lambdas.runbooks.clean_up_artifacts import policy
from lambdas.runbooks.clean_up_artifacts.policy import Situation
from lambdas.runbooks.clean_up_artifacts.runbook import CleanUpArtifactsLimits

RESOURCES = (BucketLifecycles,)


@step(
    Role.OBSERVE,
    calls=[
        "s3:GetBucketVersioning",
        "s3:GetLifecycleConfiguration",
        "s3:ListBucket@prefixes",
        "s3:ListBucketVersions@prefixes",
    ],
    raises=[
        InvalidRequestError,
        PrerequisiteNotMetError,
        ResourceBusyError,
        TargetNotFoundError,
        ThrottledError,
    ],
)
def prepare(
    *, run: Run, clock: Clock, platform: Platform, lifecycles: BucketLifecycles
) -> Prepared:
    """Read the rules, count what a new one would expire, and plan it; changes nothing."""
    name = run.target["bucket_name"]
    limits = CleanUpArtifactsLimits(**run.limits)
    (bucket,) = [b for b in platform.buckets if b.bucket_name == name]
    asked = policy.wanted(bucket, run.parameters.get("prefix"), run.parameters.get("days"), limits)
    owner = place_of(run.execution.arn).account
    rules = lifecycles.rules(name, owner)
    versioning = lifecycles.versioning(name, owner)
    old = lifecycles.old_objects(
        name,
        owner,
        prefix=asked.prefix,
        before=clock.now() - timedelta(days=asked.days),
        versioned=versioning.versioned,
        max_pages=limits.max_listed_pages,
    )
    plan = policy.decide(
        Situation(
            bucket_arn=run.target_arn,
            owner=owner,
            app_prefix=settings().prefix,
            wanted=asked,
            rules=rules,
            versioning=versioning,
            old=old,
            mode=run.mode,
            limits=limits,
        )
    )
    return Prepared(snapshot={"rules": rules}, plan=plan)


@step(
    Role.CHANGE,
    calls=["s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration"],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def put_lifecycle_rule(*, plan: Plan, clock: Clock, lifecycles: BucketLifecycles) -> Change:
    """Set the planned rule, unless it is there; never touches another rule, nor an object."""
    return changes.apply(plan.calls, (lifecycles,), clock.now)


@step(Role.OBSERVE, calls=["s3:GetLifecycleConfiguration"], raises=[ThrottledError])
def verify(*, run: Run, plan: Plan, attempt: Attempt, lifecycles: BucketLifecycles) -> Verification:
    """Read the rule again and compare it with the plan; changes nothing."""
    return _judged(run, plan, lifecycles, final=attempt.final)


@step(Role.OBSERVE, calls=["s3:GetLifecycleConfiguration"], raises=[ThrottledError])
def watch_hold(*, run: Run, plan: Plan, lifecycles: BucketLifecycles) -> Verification:
    """Look whether the rule is still as planned; changes nothing. Not used unless a limit asks."""
    return _judged(run, plan, lifecycles, final=True)


@step(Role.OBSERVE, raises=[PrerequisiteNotMetError])
def check_undo(*, run: Run, plan: Plan) -> None:
    """Refuse to put a rule back unasked under which objects expire sooner; changes nothing."""
    for call in plan.calls:
        policy.check_undo(call, run.mode)


@step(
    Role.CHANGE,
    calls=["s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration"],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(*, plan: Plan, clock: Clock, lifecycles: BucketLifecycles) -> Change:
    """Put the recorded rule back, or take the new one away; never touches another rule."""
    return changes.restore(plan.calls, (lifecycles,), clock.now)


def _judged(run: Run, plan: Plan, lifecycles: BucketLifecycles, *, final: bool) -> Verification:
    (call,) = plan.calls
    return policy.judge(call, lifecycles.present(call), undoing=run.kind is Kind.UNDO, final=final)

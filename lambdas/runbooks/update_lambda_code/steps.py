"""Steps of `update_lambda_code`: read through resources, decide in policy, return a contract."""

from lambdas.remediation import changes, release_steps, releases
from lambdas.remediation.contracts import Change, Plan, Prepared, Run, Verification, encode
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.platform import Platform
from lambdas.remediation.release_steps import (
    check_canary,
    check_undo,
    check_version,
    publish_version,
    roll_back,
    shift_traffic,
    start_canary,
    still_there,
    verify,
    watch_hold,
)
from lambdas.remediation.resources.code_package import CodePackages
from lambdas.remediation.resources.lambda_release import CODE, UPDATE_CODE, LambdaReleases
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.runbooks.update_lambda_code import policy
from lambdas.runbooks.update_lambda_code.policy import Situation
from lambdas.runbooks.update_lambda_code.runbook import RUNBOOK

__all__ = [
    "check_canary",
    "check_undo",
    "check_version",
    "publish_version",
    "roll_back",
    "shift_traffic",
    "start_canary",
    "verify",
    "watch_hold",
]

RESOURCES = (LambdaReleases,)


@step(
    Role.OBSERVE,
    calls=[
        "lambda:GetAccountSettings",
        "lambda:GetAlias",
        "lambda:GetFunctionConfiguration",
        "lambda:ListVersionsByFunction",
        "s3:GetObjectVersion@code",
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
    *, run: Run, platform: Platform, versions: LambdaReleases, packages: CodePackages
) -> Prepared:
    """Look at function, alias and package, and plan the release; changes nothing."""
    asked = policy.asked(run.parameters)
    limits = release_steps.limits_of(run)
    canary = releases.canary_percent(run.parameters.get("canary_percent"), limits)
    function = platform.function(run.target["function_name"])
    name = function.function_name
    alias_name, bucket = releases.require_alias(function), policy.require_bucket(function)
    releases.require_smoke_event(
        function, required=run.options["require_smoke_event"], runbook=RUNBOOK.name
    )
    latest, alias = versions.configuration(name), versions.read(name, alias_name)
    newest = versions.newest(name)
    plan = policy.decide(
        Situation(
            function_arn=run.target_arn,
            asked=asked,
            bucket=bucket,
            package=packages.read(bucket, asked.key, asked.version_id),
            storage=versions.code_storage(),
            latest=latest,
            alias=alias,
            served_code=versions.configuration(name, alias.version).code_sha256,
            same_version=newest if newest and not versions.drift(name, newest) else None,
            drift=[s for s in versions.drift(name, alias.version) if s != CODE],
            canary_percent=canary,
            run_id=run.id,
        )
    )
    return Prepared(snapshot={"alias": encode(alias), "latest": encode(latest)}, plan=plan)


@step(
    Role.CHANGE,
    calls=[
        "lambda:GetFunctionConfiguration",
        "lambda:UpdateFunctionCode",
        "s3:GetObjectVersion@code",
    ],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def update_code(*, plan: Plan, clock: Clock, versions: LambdaReleases) -> Change:
    """Replace the unpublished code, which serves nobody; never if anyone has touched it since."""
    with still_there():
        return changes.apply(releases.of_api(plan, UPDATE_CODE), (versions,), clock.now)


@step(
    Role.OBSERVE,
    calls=["lambda:GetFunctionConfiguration"],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def check_code(*, run: Run, plan: Plan, attempt: Attempt, versions: LambdaReleases) -> Verification:
    """Look whether the update has settled with the planned code; changes nothing."""
    wanted = releases.code_of(plan)
    with still_there():
        latest = versions.configuration(run.target["function_name"])
    applied = latest.code_sha256 == wanted
    what = f"code {wanted}" if applied else f"code {wanted}: the package is {latest.code_sha256}"
    judged = releases.judge_settled(latest, applied=applied, what=what, final=attempt.final)
    return release_steps.not_failed(judged, plan)

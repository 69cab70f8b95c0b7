"""Steps of `update_lambda_environment`: read through resources, decide in policy.

No step sees a value: they go from Secrets Manager to Lambda inside the resource.
"""

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
    shift_traffic,
    start_canary,
    step_with,
    still_there,
    watch_hold,
)
from lambdas.remediation.resources.lambda_release import CODE, PUBLISH
from lambdas.remediation.resources.lambda_variables import UPDATE_CONFIGURATION, LambdaVariables
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.runbooks.update_lambda_environment import policy
from lambdas.runbooks.update_lambda_environment.policy import Situation
from lambdas.runbooks.update_lambda_environment.runbook import RUNBOOK

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

RESOURCES = (LambdaVariables,)


@step(
    Role.OBSERVE,
    calls=[
        "lambda:GetAlias",
        "lambda:GetFunctionConfiguration",
        "lambda:ListVersionsByFunction",
        "secretsmanager:GetSecretValue@variables",
    ],
    raises=[
        InvalidRequestError,
        PrerequisiteNotMetError,
        ResourceBusyError,
        TargetNotFoundError,
        ThrottledError,
    ],
)
def prepare(*, run: Run, platform: Platform, versions: LambdaVariables) -> Prepared:
    """Look at function, alias and secret, and plan the release; changes nothing."""
    asked = policy.asked(run.parameters)
    limits = release_steps.limits_of(run)
    canary = releases.canary_percent(run.parameters.get("canary_percent"), limits)
    function = platform.function(run.target["function_name"])
    name, alias_name = function.function_name, releases.require_alias(function)
    secret_id = policy.require_secret(function, asked.set)
    releases.require_smoke_event(
        function, required=run.options["require_smoke_event"], runbook=RUNBOOK.name
    )
    latest, alias = versions.configuration(name), versions.read(name, alias_name)
    drift = versions.drift(name, alias.version)
    plan = policy.decide(
        Situation(
            function_arn=run.target_arn,
            asked=asked,
            secret_id=secret_id,
            planned=versions.planned(
                name,
                set_names=asked.set,
                remove=asked.remove,
                secret_id=secret_id,
                version_id=asked.version_id,
            ),
            latest=latest,
            alias=alias,
            served_code=versions.configuration(name, alias.version).code_sha256,
            keeper=_keeper(versions, name, alias.version),
            drift=[s for s in drift if s != CODE],
            canary_percent=canary,
            run_id=run.id,
        )
    )
    snapshot = {"alias": encode(alias), "variable_names": list(versions.names(name))}
    return Prepared(snapshot=snapshot, plan=plan)


def _keeper(versions: LambdaVariables, name: str, served: str) -> str | None:
    """A version that keeps the unpublished function's variables as they are."""
    newest = versions.newest(name)
    candidates = [served, *([newest] if newest else [])]
    return next((v for v in candidates if versions.same(name, v)), None)


@step(
    Role.CHANGE,
    calls=[
        "lambda:GetFunctionConfiguration",
        "lambda:ListVersionsByFunction",
        "lambda:PublishVersion",
        "lambda:UpdateFunctionConfiguration",
        "secretsmanager:GetSecretValue@variables",
    ],
    raises=[
        ChangeFailedError,
        ConcurrentChangeError,
        PrerequisiteNotMetError,
        ResourceBusyError,
        ThrottledError,
    ],
)
def update_variables(*, plan: Plan, clock: Clock, versions: LambdaVariables) -> Change:
    """Merge the planned variables in, kept as they are before; never replace the others."""
    record = releases.of_api(plan, PUBLISH)[:-1]
    update = releases.of_api(plan, UPDATE_CONFIGURATION)
    with still_there():
        return changes.apply([*record, *update], (versions,), clock.now)


@step(
    Role.OBSERVE,
    calls=[
        "lambda:GetFunctionConfiguration",
        "lambda:ListVersionsByFunction",
        "secretsmanager:GetSecretValue@variables",
    ],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def check_variables(
    *, run: Run, plan: Plan, attempt: Attempt, versions: LambdaVariables
) -> Verification:
    """Look whether the update has settled with the planned variables; changes nothing."""
    (update,) = releases.of_api(plan, UPDATE_CONFIGURATION)
    with still_there():
        latest = versions.configuration(run.target["function_name"])
        where = changes.position(update, (versions,))
    applied = where is changes.Position.AFTER
    what = "the planned variables"
    judged = releases.judge_settled(latest, applied=applied, what=what, final=attempt.final)
    return release_steps.not_failed(judged, plan)


# To tell where the variables stand may take the values that they were set from.
_READ_VALUES = "secretsmanager:GetSecretValue@variables"

publish_version = step_with(release_steps.publish_version, LambdaVariables, calls=[_READ_VALUES])
verify = step_with(release_steps.verify, LambdaVariables, calls=[_READ_VALUES])
roll_back = step_with(
    release_steps.roll_back,
    LambdaVariables,
    calls=["lambda:UpdateFunctionConfiguration", _READ_VALUES],
)

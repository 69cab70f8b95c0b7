"""Declaration of `deploy_infrastructure`: pure data, safe to import at synth."""

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import Stack


class DeployInfrastructureLimits(Limits):
    """Limits of this runbook: how long CloudFormation may take, and how long it is watched."""

    max_changes_per_hour: int = limit(4, 1, 20, "deployments of one stack in a clock hour")
    cool_down_seconds: int = limit(60, 0, 86_400, "pause on a stack after a deployment")
    approval_timeout_seconds: int = limit(14_400, 1, 86_400, "how long a proposal waits for a yes")
    poll_interval_seconds: int = limit(40, 1, 300, "first wait for backups and stack; grows")
    poll_attempts: int = limit(
        32, 1, 200, "looks at the backups, and at the stack, before they count as failed"
    )
    verify_window_seconds: int = limit(
        1_800, 1, 3_600, "how long the platform's alarms are watched after the deployment"
    )
    verify_interval_seconds: int = limit(40, 1, 600, "wait between two looks at the alarms")
    verify_attempts: int = limit(31, 1, 120, "looks at the alarms before the answer is final")
    # Up to a minute apart, by chance half of that: an hour at least, as a rule.
    way_back_attempts: int = limit(
        150, 20, 300, "looks at CloudFormation on the way back, in a rollback and in an undo"
    )
    hold_checks: int = limit(0, 0, 48, "looks after the watch; it was long enough")
    mitigation_lease_seconds: int = limit(
        2_592_000, 60, 2_592_000, "when a person is reminded of the undo; a deployment stays"
    )


class DeployInfrastructureParameters(Frozen):
    """What a person or a pipeline sets.

    Parameters
    ----------
    change_set_name
        The change set to execute, as the pipeline prepared it (`cdk deploy
        --method=prepare-change-set --change-set-name <name>`). It, or `template_key`, is needed.
    template_key
        Key of a JSON template in the stack's `template_bucket`, below `templates/<stack>/`, to make
        the change set from. Parameters keep their values.
    accept_data_loss
        Logical ids of what holds data and may be removed or replaced, reviewed one by one. Then a
        yes is needed: `mode` must be `propose`.
    accept_undoing
        Ids of runs whose changes, made beside the template, the deployment may undo.
    """

    change_set_name: str | None = None
    template_key: str | None = None
    accept_data_loss: list[str] | None = None
    accept_undoing: list[str] | None = None


RUNBOOK = Runbook(
    name="deploy_infrastructure",
    title="Infrastructure deployment",
    category="Deployment",
    severity=Severity.P1,
    target=Stack(),
    parameters=DeployInfrastructureParameters,
    example={"change_set_name": "release-7"},
    preparation=(
        "# or, of a CDK app: cdk deploy <stack_name> --method=prepare-change-set \\",
        "#   --change-set-name release-7",
        "aws cloudformation create-change-set --stack-name <stack_name> \\",
        "  --change-set-name release-7 --template-body file://template.json \\",
        "  --capabilities CAPABILITY_IAM CAPABILITY_NAMED_IAM CAPABILITY_AUTO_EXPAND",
        "aws cloudformation wait change-set-create-complete --stack-name <stack_name> \\",
        "  --change-set-name release-7",
        "# or, for template_key templates/<stack_name>/release-7.json instead of the change set:",
        "# aws s3 cp template.json s3://<template_bucket>/templates/<stack_name>/release-7.json",
    ),
    limits=DeployInfrastructureLimits(),
    mode=Mode.PROPOSE,
    heeds_runs=True,
    source="Operations Runbook, Deployment, Deploy Infrastructure Changes",
    deviations=(
        "It executes a change set that the pipeline has prepared, named by its ARN: `cdk diff` and "
        "a later `cdk deploy` need not be about the same thing.",
        "From a template in S3 (`template_key`) it plans what the two templates say differently, "
        "makes the change set after the yes, and executes it only if it does no more than that, "
        "with just that template and those parameters. If CloudFormation finds more (a "
        "replacement, a resource that follows from another one), nothing is deployed: the change "
        "set stays, and the answer names the input that has it reviewed and asks anew.",
        "`--require-approval never` is not followed: it asks, and what would remove or replace a "
        "resource that holds data is refused unless its logical id is accepted.",
        "Every table that the change set touches is backed up, not two by name, and the deployment "
        "waits until the backups are AVAILABLE. The runbook calls that an export; it is none.",
        "The 30 minutes are watched by the run, from the end of the deployment: no alarm of the "
        "platform may turn red, and the functions of the stack answer their smoke event. Rollback "
        "triggers of the change set do the same inside CloudFormation; they are told, not asked "
        "for. `logs tail --follow` never returns.",
        "`rollback-stack` does not work on an UPDATE_COMPLETE stack: the replaced template and "
        "parameters are kept in the template bucket, and deployed again. Hidden parameters "
        "(NoEcho) keep their new values, for nobody can read the old ones.",
        "A deployment under way is cancelled, an UPDATE_FAILED one rolled back, an "
        "UPDATE_ROLLBACK_FAILED one continued once; which resources to skip, a person decides.",
        "It never takes away data on the way back: if the old template would, a person deploys it.",
        "The way back has more than an hour in the same run (the limit `way_back_attempts`); one "
        "that takes longer goes on in CloudFormation, and the stack is quarantined until a person "
        "has looked.",
        "Drift is told, not detected anew: that takes minutes. What our own runs changed beside "
        "the template is known from their records, until their leases are due.",
    ),
)

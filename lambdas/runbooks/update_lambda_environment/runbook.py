"""Declaration of `update_lambda_environment`: pure data, safe to import at synth."""

from dataclasses import field

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.releases import ReleaseLimits
from lambdas.remediation.runbook import Runbook
from lambdas.remediation.targets import LambdaFunction


class UpdateLambdaEnvironmentParameters(Frozen):
    """What a person may set: names only. Values are never typed into an execution.

    Parameters
    ----------
    set
        Variables to set, each to the value it has in the function's `variables_secret_id`.
    remove
        Variables to remove. All others stay as they are.
    version_id
        Version of that secret; the current one if left out. The plan pins it either way.
    canary_percent
        Share of the traffic that the new version gets first, 0 to 50; 0 gives it all at once.
    """

    set: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    version_id: str | None = None
    canary_percent: int | None = None


RUNBOOK = Runbook(
    name="update_lambda_environment",
    title="Lambda environment update",
    category="Deployment",
    severity=Severity.P2,
    target=LambdaFunction(),
    parameters=UpdateLambdaEnvironmentParameters,
    example={"set": ["API_ENDPOINT"], "remove": ["OLD_FLAG"], "canary_percent": 10},
    preparation=(
        '# variables.json is the whole secret, for example {"API_ENDPOINT": "..."}; values in a',
        "# file stay out of the shell's history",
        "aws secretsmanager put-secret-value --secret-id <variables_secret_id> \\",
        "  --secret-string file://variables.json --query VersionId --output text",
    ),
    limits=ReleaseLimits(),
    options={"require_smoke_event": True},
    mode=Mode.ACT,
    keep_when_ineffective=False,
    source="Operations Runbook, Deployment, Update Environment Variables",
    deviations=(
        "Variables are merged into those that are there: the procedure's call replaces the whole "
        "map, so that all others are lost.",
        "Values come from one pinned version of a secret and go to Lambda only: nobody types them, "
        "and neither they nor digests of them are planned, recorded, logged or sent.",
        "The record of the old variables is a published version, which is immutable and keeps them "
        "encrypted: the procedure leaves them in a file on somebody's disk, of a form that its own "
        "way back does not accept. Variables that no version keeps are published first.",
        "A version is published and the alias moved to it, after a test invocation and a share of "
        "the traffic: without that, no traffic through the alias meets the new values.",
        "Undo moves the alias back, and then copies the variables of the recorded version to the "
        "unpublished function (`$LATEST`).",
        "Refused while the unpublished code differs from the code that serves: it would be "
        "released with the variables.",
        "Passwords and keys belong in Secrets Manager, read by the function itself: variables can "
        "be read by whoever may read the function's configuration.",
    ),
)

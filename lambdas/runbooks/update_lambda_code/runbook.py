"""Declaration of `update_lambda_code`: pure data, safe to import at synth."""

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.releases import ReleaseLimits
from lambdas.remediation.runbook import Runbook
from lambdas.remediation.targets import LambdaFunction


class UpdateLambdaCodeParameters(Frozen):
    """What a person or a pipeline sets: which package. The bucket is the platform file's.

    Parameters
    ----------
    key
        Key of the package in the function's `code_bucket`. Required.
    version_id
        Version of that object, so that nobody can exchange the package after the plan. Required.
    sha256
        SHA-256 of the package in base64: `openssl dgst -sha256 -binary package.zip | base64`. It is
        what Lambda shows as `CodeSha256`. Required.
    canary_percent
        Share of the traffic that the new version gets first, 0 to 50; 0 gives it all at once.
    """

    key: str | None = None
    version_id: str | None = None
    sha256: str | None = None
    canary_percent: int | None = None


RUNBOOK = Runbook(
    name="update_lambda_code",
    title="Lambda code update",
    category="Deployment",
    severity=Severity.P2,
    target=LambdaFunction(),
    parameters=UpdateLambdaCodeParameters,
    example={
        "key": "chat-lambda/2026-03-02.zip",
        "version_id": "3HL4kqtJvjVBH40Nrjfkd",
        "sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "canary_percent": 10,
    },
    preparation=(
        "# prints version_id; the bucket must be versioned",
        "aws s3api put-object --bucket <code_bucket> --key chat-lambda/2026-03-02.zip \\",
        "  --body package.zip --query VersionId --output text",
        "# prints sha256",
        "openssl dgst -sha256 -binary package.zip | base64",
    ),
    limits=ReleaseLimits(),
    options={"require_smoke_event": True},
    mode=Mode.ACT,
    keep_when_ineffective=False,
    source="Operations Runbook, Deployment, Update Lambda Function Code",
    deviations=(
        "A version is published and an alias moved to it: the procedure replaces code that no "
        "alias serves, and leaves nothing to go back to: nobody writes its `-previous.zip`.",
        "The package is named by key, object version and SHA-256, and the published version must "
        "hold just that code: `LastModified`, which the procedure looks at, proves nothing.",
        "The new version answers a test invocation before it gets any traffic, with the event of "
        "the platform file (`smoke_event`): the procedure sends a real message to production, and "
        "overlooks that a function which raises answers 200 too. Without such an event the run is "
        "refused, unless the option `require_smoke_event` is off.",
        "The new version first gets a share of the traffic (`canary_percent`), and is taken out if "
        "its own invocations fail.",
        "What is taken back is the alias. The unpublished code (`$LATEST`) stays: it serves "
        "nobody, and AWS gives the copy that a version keeps as a download only. The answer says "
        "when it is still there, and how to put back that of the version that serves.",
        "`DryRun` of the update is not used: it would need the permission to update in the "
        "function that only reads.",
        "Settings that `$LATEST` has otherwise than the version that serves are released with the "
        "code; the plan names them.",
    ),
)

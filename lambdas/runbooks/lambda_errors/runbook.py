"""Declaration of `lambda_errors`: pure data, safe to import at synth."""

from lambdas.remediation.alarms import FunctionErrorRateAlarm
from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import LambdaFunction


class LambdaErrorsLimits(Limits):
    """Limits of this runbook. Alarm, diagnosis and verification measure with the same numbers."""

    # A move of an alias takes effect in seconds: what is still bad after that stays so.
    verify_attempts: int = limit(8, 1, 120, "verifications before the answer is final")
    mitigation_lease_seconds: int = limit(
        86_400, 60, 2_592_000, "when a person is reminded that the alias was moved back"
    )
    error_rate_percent: int = limit(5, 1, 100, "failed invocations in percent that are too many")
    minimum_invocations: int = limit(
        20, 1, 100_000, "invocations in a period below which its rate says nothing"
    )
    release_look_back_seconds: int = limit(
        3_600, 60, 86_400, "age up to which a release counts as recent, so as the likely cause"
    )


class LambdaErrorsParameters(Frozen):
    """What a person may set.

    Parameters
    ----------
    version
        Published version to move the alias to, whatever the ledger says. It must be able to serve.
    """

    version: str | None = None


RUNBOOK = Runbook(
    name="lambda_errors",
    title="Lambda errors",
    category="Incident response",
    severity=Severity.P0,
    target=LambdaFunction(),
    parameters=LambdaErrorsParameters,
    example={"version": "6"},
    triggers=(FunctionErrorRateAlarm(),),
    children=("dynamodb_throttling",),
    limits=LambdaErrorsLimits(),
    options={"allow_smoke_invocation": True},
    mode=Mode.ACT,
    keeps_ledger=True,
    keep_when_ineffective=False,
    source="Operations Runbook, Incident Response, Lambda High Error Rate",
    deviations=(
        "`Errors` is read for the alias and as a rate of its `Invocations`: without dimensions it "
        "is the sum of the Region and names no function, and a count is not a rate.",
        "The alias goes back to the published version that was last seen healthy. The procedure "
        "uploads a `-previous.zip` that nobody writes, and replaces code that no alias serves.",
        "Which release is new and which one was good comes from an own ledger, noted every few "
        "minutes: Lambda keeps no history of aliases. An empty ledger is no evidence, and nothing "
        "is changed.",
        "While a release is rolled out by weights, both versions are measured: if only the new one "
        "fails, it is taken out and the main version stays.",
        "Without a recent release the cause is looked for elsewhere: throttled tables are left to "
        "`dynamodb_throttling`; for anything else a person gets the most frequent errors, masked.",
        "Environment variables and permissions are never patched: the procedure's call replaces "
        "the whole map, and its `add-permission` lets any account's bucket invoke the function.",
        "Verification needs traffic. Where there is too little, and the platform file names an "
        "event that changes nothing (`smoke_event`), the last look invokes the alias with it. That "
        "changes nothing of the platform, so the reading function may do it.",
        "If the rate does not fall, the alias goes back to where it was and a person takes over.",
    ),
)

"""Declaration of `api_gateway_errors`: pure data, safe to import at synth."""

from lambdas.remediation.alarms import ApiErrorRateAlarm
from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import ApiStage


class ApiGatewayErrorsLimits(Limits):
    """Limits of this runbook. Alarm, diagnosis and verification measure with the same numbers."""

    error_rate_percent: int = limit(
        5, 1, 100, "requests answered with 5XX, or failed invocations, in percent that are too many"
    )
    minimum_requests: int = limit(
        20, 1, 100_000, "requests in a period, or invocations, below which a rate says nothing"
    )
    # The procedure watches for half an hour: five minutes of calm, and five looks after that.
    hold_checks: int = limit(5, 0, 48, "looks at a healed stage before the run ends")
    release_look_back_seconds: int = limit(
        3_600, 60, 86_400, "age up to which a release counts as recent, so as the likely cause"
    )


RUNBOOK = Runbook(
    name="api_gateway_errors",
    title="API Gateway errors",
    category="Incident response",
    severity=Severity.P0,
    target=ApiStage(),
    triggers=(ApiErrorRateAlarm(),),
    children=("lambda_errors", "dynamodb_throttling"),
    limits=ApiGatewayErrorsLimits(),
    mode=Mode.ACT,
    keeps_ledger=True,
    keep_when_ineffective=False,
    source="Operations Runbook, Incident Response, API Gateway High Error Rate",
    deviations=(
        "Alarm, diagnosis and verification use the share of requests answered with 5XX, in periods "
        "with enough of them. The procedure reads `Sum`, which is a count: its own criterion is a "
        "rate of 5 %.",
        "Metrics are read for the stage that serves the platform. Without `Stage` the errors of "
        "every stage of the API are added up.",
        "HTTP APIs are measured by `5xx` and their id: `5XXError` and `ApiName` exist for REST "
        "APIs only.",
        "Errors of functions are read as metrics of the alias that serves. The procedure's "
        "`tail --follow | grep` never ends.",
        "Throttling is read from `ReadThrottleEvents` and `WriteThrottleEvents` of each table and "
        "index: `UserErrors` leaves throttling out.",
        "Which release is new, and which one was good, comes from an own ledger: API Gateway and "
        "Lambda keep no such history. An empty ledger is no evidence, and nothing is moved back.",
        "One remedy is chosen, and only one that the findings single out: canary off, stage back "
        "to the last good deployment, or the runbook of the function or table behind the API. "
        "What cannot be read is never a reason to act.",
        "While CloudFormation deploys, nothing is changed: it would overwrite the change, or trip "
        "over it.",
        "A canary that overrides stage variables is left to a person: their values may be "
        "secrets, which no record keeps, and without them there is no way back.",
        "A stage goes back only to a deployment that still exists. The CDK deletes the old one "
        "with every deployment, unless its API has `retain_deployments=True`.",
        "A stage of an HTTP API with `AutoDeploy` is left to a person: API Gateway refuses to move "
        "it by hand.",
        'Stage variables stay as they are. "Increase resources" and "Fix code" are not '
        "automated: the one is not an action, the other needs a person.",
        "Verification needs traffic. Silence after a change is `inconclusive`, never healed. If "
        "the rate does not fall, the stage goes back to where it was and a person takes over.",
    ),
)

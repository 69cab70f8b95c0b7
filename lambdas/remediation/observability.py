"""Structured logs and outcome metrics, by Powertools."""

import functools
from typing import Any

NAMESPACE = "Remediation"


@functools.cache
def logger() -> Any:
    """Powertools logger; run id, runbook, step and target are added once per call."""
    from aws_lambda_powertools import Logger

    return Logger(service="remediation", utc=True)


def count(metric: str, **dimensions: str) -> None:
    """Write one count in CloudWatch's embedded metric format.

    Notes
    -----
    Metrics: `RemediationOutcome` (Runbook, Outcome), `RunInterrupted` (closed without reaching its
    `Finish`), `BreakerOpened` and `TargetQuarantined`, each with no dimension but what is named.
    """
    # Only the end of a run needs metrics, so a cold start on the way to a change does not pay.
    from aws_lambda_powertools import single_metric
    from aws_lambda_powertools.metrics import MetricUnit

    with single_metric(name=metric, unit=MetricUnit.Count, value=1, namespace=NAMESPACE) as m:
        for name, value in dimensions.items():
            m.add_dimension(name=name, value=value)

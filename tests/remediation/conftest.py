from collections.abc import Callable, Iterator

import pytest

from lambdas.remediation import clients
from tests.conftest import FrozenClock
from tests.remediation import dial
from tests.remediation.execution import Execution


@pytest.fixture
def script() -> Iterator[dial.Script]:
    """What the steps of the test's runbook find; both dials stand at 1."""
    yield dial.Dials.reset()
    dial.Dials.reset()


@pytest.fixture
def execution(
    environment: dict[str, str], script: dial.Script, clock: FrozenClock
) -> Callable[..., Execution]:
    """Start executions: `execution("run-1")`."""
    return Execution


@pytest.fixture
def alarms(aws: None) -> None:
    """The alarms of the test's runbook; without them, CloudWatch knows none of that name."""
    for alarm in dial.DialAlarms().alarms(None, "remediation"):
        clients.client("cloudwatch").put_metric_alarm(
            AlarmName=alarm.name,
            Namespace="Tests",
            MetricName="Errors",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
        )

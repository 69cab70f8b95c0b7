"""States of CloudWatch alarms."""

from collections.abc import Sequence
from typing import Any, ClassVar

from lambdas.remediation.resources.client_errors import reading

# Amazon CloudWatch API Reference, DescribeAlarms: AlarmNames.
_NAMES_PER_CALL = 100


class Alarms:
    """Reads alarms; changes nothing.

    Parameters
    ----------
    client
        Client of CloudWatch.
    """

    service: ClassVar[str] = "cloudwatch"

    def __init__(self, client: Any) -> None:
        self._client = client

    def red(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Descriptions of those alarms that are in ALARM, composite ones too.

        Raises
        ------
        ThrottledError
            CloudWatch has no time now.
        """
        found: list[dict[str, Any]] = []
        for i in range(0, len(names), _NAMES_PER_CALL):
            with reading("alarms"):
                answer = self._client.describe_alarms(
                    AlarmNames=list(names[i : i + _NAMES_PER_CALL]),
                    AlarmTypes=["MetricAlarm", "CompositeAlarm"],
                    StateValue="ALARM",
                    MaxRecords=_NAMES_PER_CALL,
                )
            both = [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]
            found += [a for a in both if a["StateValue"] == "ALARM"]
        return found

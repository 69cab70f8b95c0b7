"""CloudWatch Contributor Insights of DynamoDB tables: which keys are read, written, throttled."""

from typing import Any, ClassVar

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading

UPDATE_CONTRIBUTOR_INSIGHTS = "dynamodb:UpdateContributorInsights"
# The one key of a planned call.
INSIGHTS = "ContributorInsights"
THROTTLED_KEYS = "THROTTLED_KEYS"
ACCESSED_AND_THROTTLED_KEYS = "ACCESSED_AND_THROTTLED_KEYS"
OFF = "OFF"
_ON = ("ENABLED", "ENABLING")


class Insights(Frozen):
    """Contributor Insights of a table.

    Parameters
    ----------
    mode
        `THROTTLED_KEYS`, `ACCESSED_AND_THROTTLED_KEYS` or `OFF`; also while it is getting there.
    settled
        Whether it is there.
    failure
        Why DynamoDB could not switch it on.
    rules
        Names of its CloudWatch rules.
    """

    mode: str
    settled: bool = True
    failure: str = ""
    rules: tuple[str, ...] = ()


class ContributorInsights:
    """Reads Contributor Insights and switches it on and off.

    Parameters
    ----------
    client
        Client of DynamoDB.
    """

    service: ClassVar[str] = "dynamodb"
    apis: ClassVar[tuple[str, ...]] = (UPDATE_CONTRIBUTOR_INSIGHTS,)

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, table_name: str) -> Insights:
        """Contributor Insights of a table.

        Raises
        ------
        TargetNotFoundError
            There is no such table.
        """
        with reading(f"Contributor Insights of {table_name}"):
            found = self._client.describe_contributor_insights(TableName=table_name)
        status = found.get("ContributorInsightsStatus", "DISABLED")
        # Tables whose insights are older than the modes count both kinds of keys.
        mode = found.get("ContributorInsightsMode") or ACCESSED_AND_THROTTLED_KEYS
        failure = found.get("FailureException", {})
        told = [failure.get("ExceptionName"), failure.get("ExceptionDescription")]
        return Insights(
            mode=mode if status in _ON else OFF,
            settled=status not in ("ENABLING", "DISABLING"),
            failure=": ".join(part for part in told if part) if status == "FAILED" else "",
            rules=tuple(found.get("ContributorInsightsRuleList", ())),
        )

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """The mode, or the one that the table is on its way to."""
        return {INSIGHTS: self.read(_table_name(call)).mode}

    def apply(self, call: PlannedCall) -> None:
        """Switch to the mode of `call.after`."""
        mode = call.after[INSIGHTS]
        arguments = (
            {"ContributorInsightsAction": "DISABLE"}
            if mode == OFF
            else {"ContributorInsightsAction": "ENABLE", "ContributorInsightsMode": mode}
        )
        with changing(call, self.present):
            self._client.update_contributor_insights(TableName=_table_name(call), **arguments)


def switch_insights(table_arn: str, before: str, after: str) -> PlannedCall:
    """The call that switches a table's Contributor Insights; its inverse switches it back."""
    return PlannedCall(
        api=UPDATE_CONTRIBUTOR_INSIGHTS,
        resource=table_arn,
        arguments={"TableName": table_arn.rpartition("/")[2], "ContributorInsightsMode": after},
        before={INSIGHTS: before},
        after={INSIGHTS: after},
    )


def _table_name(call: PlannedCall) -> str:
    return call.resource.rpartition("/")[2]

"""Which CloudFormation stack a resource belongs to, if any."""

from typing import Any, ClassVar

from botocore.exceptions import ClientError

from lambdas.remediation.resources.client_errors import reading

# The stack is gone, or has let go of the resource: it is nobody's now.
_LEFT = {"DELETE_COMPLETE", "DELETE_SKIPPED"}


class StackMembership:
    """Asks CloudFormation for the owner of a resource; changes nothing.

    Parameters
    ----------
    client
        Client of CloudFormation.
    """

    service: ClassVar[str] = "cloudformation"

    def __init__(self, client: Any) -> None:
        self._client = client

    def stack_of(self, physical_id: str) -> str | None:
        """Name of the stack that deploys a resource of this Region; None if none does.

        Notes
        -----
        Tags do not tell: CloudFormation has not put `aws:cloudformation:stack-name` on IAM roles
        for years. The answer holds the first hundred resources of the stack, so the resource
        itself may not be among them.
        """
        try:
            with reading(f"stack of {physical_id}"):
                found = self._client.describe_stack_resources(PhysicalResourceId=physical_id)
        except ClientError as error:
            told = error.response["Error"]
            if told["Code"] == "ValidationError" and "does not exist" in told["Message"]:
                return None
            raise
        members = found.get("StackResources", [])
        own = [m for m in members if m.get("PhysicalResourceId") == physical_id]
        if not members or any(m["ResourceStatus"] in _LEFT for m in own):
            return None
        return str(members[0]["StackName"])

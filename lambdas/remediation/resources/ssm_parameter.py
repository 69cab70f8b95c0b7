"""Parameters of SSM that tell an application which resource to use."""

from typing import Any, ClassVar

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading
from lambdas.remediation.targets import Place

PUT_PARAMETER = "ssm:PutParameter"
# The only type whose value may be read and shown: a SecureString is a secret.
PLAIN = "String"


class Parameter(Frozen):
    """A parameter; `version` rises by one with each change, whatever the value."""

    name: str
    type: str
    value: str
    version: int


def put_parameter(name: str, place: Place, before: str, after: str) -> PlannedCall:
    """The call that changes a parameter. Its name is the key: an ARN leaves out its first slash."""
    return PlannedCall(
        api=PUT_PARAMETER,
        resource=(
            f"arn:{place.partition}:ssm:{place.region}:{place.account}:"
            f"parameter/{name.removeprefix('/')}"
        ),
        arguments={"Name": name, "Value": after, "Overwrite": True},
        before={name: before},
        after={name: after},
    )


class SsmParameters:
    """Reads and changes plain parameters; never a secret one.

    Parameters
    ----------
    client
        boto3 client of SSM.
    """

    service: ClassVar[str] = "ssm"
    apis: ClassVar[tuple[str, ...]] = (PUT_PARAMETER,)

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, name: str) -> Parameter:
        """One parameter, a secret one still encrypted.

        Raises
        ------
        TargetNotFoundError
            There is no such parameter.
        """
        with reading(f"parameter {name}"):
            found = self._client.get_parameter(Name=name)["Parameter"]
        return Parameter(
            name=name, type=found["Type"], value=found["Value"], version=found["Version"]
        )

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """Present value of the call's parameter."""
        (name,) = call.after
        return {name: self.read(name).value}

    def apply(self, call: PlannedCall) -> None:
        """Set the value to `call.after`; the parameter keeps its type."""
        ((name, value),) = call.after.items()
        with changing(call, self.present):
            self._client.put_parameter(Name=name, Value=value, Overwrite=True)

"""CloudWatch dashboards: their bodies, as a run record can keep them, and replacing them."""

import base64
import hashlib
import json
import zlib
from typing import Any, ClassVar

from lambdas.remediation.contracts import Json, PlannedCall, canonical_json
from lambdas.remediation.errors import ChangeFailedError, TargetNotFoundError
from lambdas.remediation.resources.client_errors import changing, reading

PUT_DASHBOARD = "cloudwatch:PutDashboard"
# The one key of a planned call: a packed body, None where there is no dashboard.
BODY = "DashboardBody"
# What a body may unpack to: far above any dashboard, far below a function's memory.
MAX_BODY = 8_000_000


def digest(body: str) -> str:
    """SHA-256 of a body, the same for every way to write the same JSON."""
    return hashlib.sha256(canonical_json(_meaning(body)).encode()).hexdigest()


def same(one: str | None, other: str | None) -> bool:
    """Whether two bodies show the same; None is no dashboard."""
    if one is None or other is None:
        return one is other
    return bool(_meaning(one) == _meaning(other))


def pack(body: str) -> str:
    """A body as text that is short enough for a run record: its digest, and itself compressed.

    The digest is for people: it comes first, so that a message that is cut still tells bodies
    apart. Bodies are compared unpacked, since another zlib may compress to other bytes.
    """
    packed = base64.b64encode(zlib.compress(body.encode(), 9)).decode()
    return f"sha256:{digest(body)} zlib:{packed}"


def unpack(packed: str) -> str:
    """The body, to the letter as it was."""
    unpacking = zlib.decompressobj()
    found = unpacking.decompress(base64.b64decode(packed.partition(" zlib:")[2]), MAX_BODY)
    if unpacking.unconsumed_tail:
        raise ValueError(f"the body of a dashboard has more than {MAX_BODY} bytes")
    return found.decode()


def put_dashboard(name: str, arn: str, *, before: str | None, body: str) -> PlannedCall:
    """The call that gives a dashboard a body; its inverse puts the old one back, or deletes it.

    Notes
    -----
    Both bodies are in `before` and `after`, so that the way back needs nothing else. In
    `arguments`, which an approval covers, the digest stands for the body.
    """
    return PlannedCall(
        api=PUT_DASHBOARD,
        resource=arn,
        arguments={"DashboardName": name, BODY: f"sha256:{digest(body)}"},
        before={BODY: None if before is None else pack(before)},
        after={BODY: pack(body)},
    )


def recorded_characters(call: PlannedCall) -> int:
    """Length of what a call keeps of its two bodies."""
    return sum(len(values[BODY] or "") for values in (call.before, call.after))


class Dashboards:
    """Reads, writes and deletes dashboards.

    Parameters
    ----------
    client
        Client of CloudWatch.
    """

    service: ClassVar[str] = "cloudwatch"
    apis: ClassVar[tuple[str, ...]] = (PUT_DASHBOARD,)

    def __init__(self, client: Any) -> None:
        self._client = client

    def body(self, name: str) -> str | None:
        """Body of a dashboard, as stored; None if there is no such dashboard."""
        try:
            with reading(f"dashboard {name}"):
                return str(self._client.get_dashboard(DashboardName=name)[BODY])
        except TargetNotFoundError:
            return None

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """The packed body of the call that is there now, or else whatever is there, packed."""
        now = self.body(_name(call))
        if now is None:
            return {BODY: None}
        for known in (call.before[BODY], call.after[BODY]):
            if known is not None and same(unpack(known), now):
                return {BODY: known}
        return {BODY: pack(now)}

    def apply(self, call: PlannedCall) -> None:
        """Write or delete the dashboard, so that the present value becomes `call.after`.

        Raises
        ------
        ChangeFailedError
            CloudWatch does not take the body, or takes it and says that parts cannot be shown.
        """
        packed = call.after[BODY]
        answer: dict[str, Any] = {}
        with changing(call, self.present):
            if packed is None:
                self._client.delete_dashboards(DashboardNames=[_name(call)])
                return
            answer = self._client.put_dashboard(
                DashboardName=_name(call), DashboardBody=unpack(packed)
            )
        # Whoever made the old body may have lived with its warnings: the way back, which has no
        # arguments, restores it as it was.
        messages = answer.get("DashboardValidationMessages", ()) if call.arguments else ()
        if messages:
            told = "; ".join(f"{m.get('DataPath', '')}: {m.get('Message', '')}" for m in messages)
            raise ChangeFailedError(f"{call.resource}: CloudWatch cannot show all of it: {told}")


def _name(call: PlannedCall) -> str:
    return call.resource.rpartition("/")[2]


def _meaning(body: str) -> Json:
    """What a body says; one that is no JSON only says itself."""
    try:
        return json.loads(body)
    except ValueError:
        return body

"""Decisions of `create_dashboard`: pure functions, no AWS call, no clock, no environment."""

from lambdas.remediation.contracts import (
    Check,
    Decision,
    Plan,
    Verdict,
    Verification,
    canonical_json,
)
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.dashboard import (
    digest,
    put_dashboard,
    recorded_characters,
    same,
)
from lambdas.runbooks.create_dashboard.widgets import Body

_MINUTE, _DAY = 60, 86_400
# Amazon CloudWatch User Guide, "CloudWatch service quotas": one dashboard.
MAX_WIDGETS = 500
MAX_METRICS = 2_500
# Both bodies of a plan, compressed. A record keeps them three times (plan, answer's plan, answer's
# changes) and an item of DynamoDB has 400 KB; a state passes them on twice, and has 256 KiB.
MAX_RECORDED = 60_000


class Situation(Frozen):
    """Everything the plan rests on.

    Parameters
    ----------
    present
        Body of the dashboard now; None if there is none.
    wanted
        What the platform file comes to.
    """

    dashboard_name: str
    arn: str
    present: str | None
    wanted: Body


def period_seconds(asked: int | None, default: int) -> int:
    """Period of the graphs.

    Raises
    ------
    InvalidRequestError
        The period is not a multiple of 60 up to a day.
    """
    if asked is not None and (asked % _MINUTE or not _MINUTE <= asked <= _DAY):
        raise InvalidRequestError(
            f"parameters.period_seconds: {asked} is not a multiple of {_MINUTE} from {_MINUTE} to "
            f"{_DAY}; give for example 300"
        )
    if asked is None:
        return max(_MINUTE, default - default % _MINUTE)
    return asked


def decide(situation: Situation) -> Plan:
    """Plan to give the dashboard its body.

    Raises
    ------
    PrerequisiteNotMetError
        The dashboard shows just this already, the graphs are too many for one dashboard, or what
        it takes to undo the change would not fit into the run's record.
    """
    name, wanted = situation.dashboard_name, situation.wanted
    subject = f"dashboard {name}"
    if not wanted.titles:
        raise PrerequisiteNotMetError(
            f"{subject}: platform.json has no APIs, functions or tables to show"
        )
    if len(wanted.titles) >= MAX_WIDGETS or wanted.metrics > MAX_METRICS:
        raise PrerequisiteNotMetError(
            f"{subject}: {len(wanted.titles)} graphs with {wanted.metrics} metrics are more than "
            f"the {MAX_WIDGETS} widgets and {MAX_METRICS} metrics of one dashboard"
        )
    body = canonical_json(wanted.content)
    if same(situation.present, body):
        raise PrerequisiteNotMetError(
            f"nothing to do: {subject} shows just this already ({_count(wanted)})"
        )
    call = put_dashboard(name, situation.arn, before=situation.present, body=body)
    if recorded_characters(call) > MAX_RECORDED:
        raise PrerequisiteNotMetError(
            f"{subject}: the present and the new body are {recorded_characters(call)} characters "
            f"compressed, and a run's record keeps at most {MAX_RECORDED}, which undo needs; "
            "delete or shrink the present one by hand, or use another dashboard_name"
        )
    what = "Create" if situation.present is None else "Replace everything in"
    return Plan(
        decision=Decision.CHANGE,
        reason=f"{what} {subject}: {_count(wanted)} of the platform file.",
        calls=[call],
        evidence={"graphs": list(wanted.titles), "metrics": wanted.metrics},
    )


def _count(wanted: Body) -> str:
    return f"{len(wanted.titles)} graphs with {wanted.metrics} metrics"


def judge(planned: str | None, found: str | None, *, final: bool) -> Verification:
    """Whether the dashboard is as planned.

    Parameters
    ----------
    planned, found
        Bodies; None where there is to be, or is, no dashboard.
    final
        Whether this is the last look.
    """
    good = same(planned, found)
    check = Check(
        name="dashboard is as planned",
        observed=float(good),
        threshold=1,
        samples=1,
        passed=good,
    )
    if good:
        reason = (
            "there is no such dashboard any more"
            if found is None
            else f"the dashboard reads as planned (sha256 {digest(found)[:12]})"
        )
        return Verification(verdict=Verdict.PASSED, reason=reason, checks=[check])
    verdict = Verdict.FAILED if final else Verdict.PENDING
    now = "is absent" if found is None else f"has other contents (sha256 {digest(found)[:12]})"
    return Verification(verdict=verdict, reason=f"the dashboard {now}", checks=[check])

"""Decisions of `review_iam_permissions`: pure functions, no AWS call, no clock, no environment.

IAM knows for certain only two kinds of unused action: those of a service that was not called at
all, and those that it tracks one by one and did not see. Everything else stays.
"""

import fnmatch
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from lambdas.remediation.contracts import (
    Check,
    Decision,
    Json,
    Plan,
    PlannedCall,
    Verdict,
    Verification,
)
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.role_policies import (
    Role,
    RolePolicy,
    ServiceUse,
    put_policy,
    statements,
)
from lambdas.remediation.verification import rate_checks, verdict
from lambdas.runbooks.review_iam_permissions.runbook import ReviewIamPermissionsLimits

# IAM User Guide, "Refine permissions using last accessed information": PassRole is not tracked.
# AWS Lambda Developer Guide, "Giving Lambda functions access to resources in a VPC": the network
# interfaces are made when a function is deployed or wakes up, not while it runs.
_NEVER_SEEN = (
    "iam:PassRole",
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
_ACTION = re.compile(r"[a-zA-Z0-9*?-]+:[a-zA-Z0-9*?]+")


class Situation(Frozen):
    """Everything the decision rests on.

    Parameters
    ----------
    use
        What the role may call, and when it last did.
    keep
        Actions that must stay, wildcards allowed.
    stack_name
        The stack that deploys the role; None if none does.
    is_own
        Whether it is a role of this product.
    functions
        Names of the functions of the platform file that have it.
    """

    role: Role
    inline: tuple[RolePolicy, ...] = ()
    managed: tuple[RolePolicy, ...] = ()
    use: tuple[ServiceUse, ...] = ()
    keep: tuple[str, ...] = ()
    stack_name: str | None = None
    is_own: bool = False
    functions: tuple[str, ...] = ()
    edit_deployed_roles: bool = False
    limits: ReviewIamPermissionsLimits
    now: datetime


class Narrowed(Frozen):
    """A policy without its unused actions; `document` is None if nothing would be left."""

    policy: RolePolicy
    document: Json
    removed: tuple[str, ...]


def asked_to_keep(actions: Sequence[str] | None) -> tuple[str, ...]:
    """The actions that a person wants to stay.

    Raises
    ------
    InvalidRequestError
        One of them is no action: what was meant to stay would go.
    """
    for action in actions or ():
        if not _ACTION.fullmatch(action):
            raise InvalidRequestError(
                f"parameters.keep: {action!r} is no action; write it as in a policy, for example "
                "dynamodb:DeleteItem or s3:Get*"
            )
    return tuple(actions or ())


def decide(situation: Situation) -> Plan:
    """Plan the smaller inline policies, or report them where they may not be changed here.

    Raises
    ------
    PrerequisiteNotMetError
        The role is too young to be judged, or uses all that can be judged.
    """
    role, limits = situation.role, situation.limits
    age = situation.now - role.created_at
    if age < timedelta(days=limits.minimum_role_age_days):
        raise PrerequisiteNotMetError(
            f"role {role.name}: it is {age.days} days old and judged from "
            f"{limits.minimum_role_age_days}; the limit is "
            "runbooks.review_iam_permissions.limits.minimum_role_age_days in platform.json"
        )
    inline = _narrowed(situation, situation.inline)
    managed = _narrowed(situation, situation.managed)
    if not inline and not managed:
        raise PrerequisiteNotMetError(
            f"nothing to do: role {role.name} has no action that was unused for "
            f"{limits.unused_days} days, as far as IAM tracks them"
        )
    left = [n for n in inline if n.document is not None]
    found = _told([*inline, *managed])
    evidence = {
        "unused": {n.policy.name: list(n.removed) for n in (*inline, *managed)},
        "smaller_policies": {n.policy.name: n.document for n in (*inline, *managed)},
        "unread_policies": [p.name for p in situation.managed if p.document is None],
        "functions": list(situation.functions),
    }
    obstacle = _obstacle(situation, left)
    if obstacle:
        return Plan(
            decision=Decision.HAND_OVER,
            reason=f"Unused for {limits.unused_days} days: {found}. Nothing is changed: {obstacle}",
            evidence=evidence,
            report=True,
        )
    reason = f"Take out what was unused for {limits.unused_days} days: {_told(left)}."
    others = [n for n in (*inline, *managed) if n not in left]
    if others:
        reason += f" Only reported: {_told(others)}."
    return Plan(
        decision=Decision.CHANGE,
        reason=reason,
        calls=[put_policy(role, n.policy, n.document) for n in left],
        evidence=evidence,
    )


def _obstacle(situation: Situation, left: Sequence[Narrowed]) -> str:
    """Why a person has to do it; empty if this run may."""
    if situation.is_own:
        return "the role is the remediator's own; change the product."
    if situation.stack_name and not situation.edit_deployed_roles:
        return (
            f"stack {situation.stack_name} deploys the role; take these actions out of its app "
            "(the smaller policies are in the run's record, `plan.evidence.smaller_policies`)."
        )
    if not left:
        return (
            "managed policies, and policies that would be empty, are left to people; the smaller "
            "ones are in the run's record, `plan.evidence.smaller_policies`."
        )
    if not situation.functions:
        return (
            "no function of the platform file has the role, so nothing would show what breaks; "
            "the smaller policies are in the run's record, `plan.evidence.smaller_policies`."
        )
    return ""


def _narrowed(situation: Situation, policies: Iterable[RolePolicy]) -> list[Narrowed]:
    """Those policies that hold an unused action, without it."""
    since = situation.now - timedelta(days=situation.limits.unused_days)
    use = {service.namespace.lower(): service for service in situation.use}
    keep = (*situation.keep, *_NEVER_SEEN)
    found = []
    for policy in policies:
        if policy.document is None:
            continue
        document, removed = _without_unused(policy.document, use, keep, since)
        if removed:
            found.append(Narrowed(policy=policy, document=document, removed=tuple(removed)))
    return found


def _without_unused(
    document: Json, use: Mapping[str, ServiceUse], keep: Sequence[str], since: datetime
) -> tuple[Json, list[str]]:
    removed: list[str] = []
    kept_statements = []
    for statement in statements(document):
        actions = statement.get("Action")
        if statement.get("Effect") != "Allow" or actions is None:
            kept_statements.append(statement)
            continue
        listed = [actions] if isinstance(actions, str) else list(actions)
        left = [a for a in listed if not is_unused(a, use, keep, since)]
        if len(left) == len(listed):
            kept_statements.append(statement)
            continue
        removed += [a for a in listed if a not in left]
        if left:
            kept_statements.append({**statement, "Action": left})
    smaller = {**document, "Statement": kept_statements}
    return (smaller if kept_statements else None), list(dict.fromkeys(removed))


def is_unused(
    action: str, use: Mapping[str, ServiceUse], keep: Sequence[str], since: datetime
) -> bool:
    """Whether an action of a policy is certain not to have been called since.

    Parameters
    ----------
    use
        By namespace in lower case. A service that IAM does not report on is not judged.
    keep
        Actions that must stay allowed.
    """
    if any(_meet(action, kept) for kept in keep):
        return False
    namespace, _, name = action.lower().partition(":")
    service = use.get(namespace)
    if service is None or not name:
        return False
    if service.last_used is None or service.last_used < since:
        return True
    tracked = {n.lower(): at for n, at in service.actions.items()}
    if name not in tracked:
        return False
    at = tracked[name]
    return at is None or at < since


def _meet(action: str, kept: str) -> bool:
    """Whether one of two action patterns takes in the other; case never counts in IAM."""
    one, other = action.lower(), kept.lower()
    # `[` is nothing special in a policy.
    plain = (one.replace("[", "[[]"), other.replace("[", "[[]"))
    return fnmatch.fnmatchcase(one, plain[1]) or fnmatch.fnmatchcase(other, plain[0])


def _told(narrowed: Iterable[Narrowed]) -> str:
    return "; ".join(f"{', '.join(n.removed)} in policy {n.policy.name}" for n in narrowed)


# --- checks before anything is proposed ---


def simulated(document: Json, keep: Sequence[str]) -> tuple[list[str], list[str]]:
    """Actions and resources to ask the simulator about: what must stay, where it is allowed.

    The simulator takes no wildcards in actions.
    """
    actions = sorted({k for k in keep if "*" not in k and "?" not in k})
    resources: set[str] = set()
    for statement in statements(document):
        named = statement.get("Resource", "*")
        if statement.get("Effect") == "Allow":
            resources.update([named] if isinstance(named, str) else named)
    # `${...}` has a value only while a call is made.
    return actions, sorted(r for r in resources if "${" not in r) or ["*"]


def require_sound(policy_name: str, problems: Sequence[str]) -> None:
    """Stop where a check of the smaller policy failed.

    Raises
    ------
    PrerequisiteNotMetError
        Naming each problem.
    """
    if problems:
        raise PrerequisiteNotMetError(
            f"policy {policy_name}: the smaller one fails its checks: {'; '.join(problems)}"
        )


def lost(before: set[tuple[str, str]], after: set[tuple[str, str]]) -> list[str]:
    """What was allowed and is no more, of what must stay."""
    return [
        f"{action} on {resource} would be denied" for action, resource in sorted(before - after)
    ]


# --- verification ---


class Health(Frozen):
    """What the functions that have the role went through, in some complete periods.

    Parameters
    ----------
    samples
        Periods with traffic.
    denials
        Log events that tell of a denied call.
    periods, wanted_periods
        Periods that were measured, and how many make a window.
    """

    errors: float = 0
    invocations: float = 0
    samples: int = 0
    denials: int = 0
    periods: int = 0
    wanted_periods: int = 1

    @property
    def error_rate_percent(self) -> float:
        """Failed invocations in percent; 0 without any."""
        return 100 * self.errors / self.invocations if self.invocations else 0.0


def with_baseline(plan: Plan, before: Health) -> dict[str, Json]:
    """Evidence of a plan, with what is normal for the functions: verification compares with it."""
    return {
        **plan.evidence,
        "denials_before": before.denials,
        "error_rate_before": round(before.error_rate_percent, 1),
    }


def judge(
    plan: Plan, health: Health, limits: ReviewIamPermissionsLimits, *, final: bool
) -> Verification:
    """Whether the functions work as before with the smaller policies.

    One denial more than there were before the change is enough; silence is never a pass.
    """
    usual = int(plan.evidence["denials_before"])
    denied = Check(
        name="access_denied_in_logs",
        observed=float(health.denials),
        threshold=float(usual),
        samples=health.periods,
        passed=health.denials <= usual,
    )
    tolerated = max(limits.error_rate_percent, math.ceil(plan.evidence["error_rate_before"]))
    quiet = health.error_rate_percent <= tolerated
    minimum_samples = min(limits.verify_minimum_samples, health.wanted_periods)
    busy = health.invocations >= limits.minimum_invocations and health.samples >= minimum_samples
    checks = [
        denied,
        *rate_checks(
            rate=(health.error_rate_percent, tolerated),
            quiet=quiet,
            traffic=("invocations", health.invocations, limits.minimum_invocations),
            samples=(health.samples, minimum_samples),
            periods=health.periods,
        ),
    ]
    names = ", ".join(plan.evidence["functions"])
    if not denied.passed:
        return Verification(
            verdict=Verdict.FAILED,
            reason=f"{health.denials} calls of {names} were denied since, {usual} before",
            checks=checks,
        )
    answer = verdict(
        whole=health.periods >= health.wanted_periods, busy=busy, quiet=quiet, final=final
    )
    reason = (
        f"{names}: {health.invocations:.0f} invocations, {health.error_rate_percent:.1f} % failed, "
        f"{health.denials} calls denied"
    )
    return Verification(verdict=answer, reason=reason, checks=checks)


def put_back(
    calls: Sequence[PlannedCall], elsewhere: Sequence[str], *, final: bool
) -> Verification:
    """Whether an undo has put every policy back; `elsewhere` are those that are not."""
    if not elsewhere:
        names = ", ".join(name for call in calls for name in call.after)
        return Verification(verdict=Verdict.PASSED, reason=f"as before: {names}")
    waiting = Verdict.FAILED if final else Verdict.PENDING
    return Verification(verdict=waiting, reason=f"not as before: {', '.join(elsewhere)}")

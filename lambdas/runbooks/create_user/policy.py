"""Decisions of `create_user`: pure functions, no AWS call, no clock, no environment.

A user that is there already is somebody's: the run is refused. A user counts as the run's own, and
may be deleted by its roll-back or undo, if it was created while the run lived; after its first
sign-in it is not deleted any more.
"""

import re
from collections.abc import Collection
from datetime import datetime

from lambdas.remediation.contracts import Check, Decision, Plan, Verdict, Verification
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.cognito_users import (
    ADD_TO_GROUP,
    CONFIRMED,
    INVITED,
    User,
    UserPool,
    add_to_group,
    checked_username,
    create_user,
    username_of,
)

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_WITHOUT_A_PASSWORD = {"EMAIL_OTP", "SMS_OTP"}


class Situation(Frozen):
    """Everything the plan rests on.

    Parameters
    ----------
    user
        Who has that name now; None if nobody has.
    absent_groups
        Of the groups asked for, those that the pool does not have.
    not_before, not_after
        Life of the run.
    """

    pool: UserPool
    pool_arn: str
    username: str
    user: User | None = None
    groups: tuple[str, ...] = ()
    absent_groups: tuple[str, ...] = ()
    not_before: datetime
    not_after: datetime


def asked_username(given: str | None) -> str:
    """The e-mail address of the new user.

    Raises
    ------
    InvalidRequestError
        There is none, or it is not an e-mail address.
    """
    username = checked_username(given)
    if not _EMAIL.fullmatch(username):
        raise InvalidRequestError(
            f"parameters.username: {username!r} must be an e-mail address, for the invitation"
        )
    return username


def asked_groups(given: list[str] | None, *, accepted: Collection[str], most: int) -> list[str]:
    """The groups to add the user to, each once.

    Raises
    ------
    InvalidRequestError
        A group is not one of those that the platform file names, or there are too many.
    """
    groups = sorted(set(given or ()))
    foreign = [group for group in groups if group not in accepted]
    if foreign:
        raise InvalidRequestError(
            f"parameters.groups: {foreign[0]!r} is not one of {', '.join(accepted) or 'none'}; "
            "add it to the pool's groups in platform.json"
        )
    if len(groups) > most:
        raise InvalidRequestError(
            f"parameters.groups: {len(groups)} groups are more than {most}; "
            "raise runbooks.create_user.limits.max_groups in platform.json"
        )
    return groups


def decide(situation: Situation) -> Plan:
    """Plan the user, and then each of its groups.

    Raises
    ------
    PrerequisiteNotMetError
        The user exists already, the pool does not take an e-mail address as a username, it signs
        people in without a password, or a group is missing.
    """
    username, pool = situation.username, situation.pool
    _require_pool(pool)
    if situation.user is not None:
        raise PrerequisiteNotMetError(
            f"user {username} exists already ({situation.user.status}) and is not touched; "
            "reset_user_password sends an invitation again, groups are changed by hand"
        )
    if situation.absent_groups:
        raise PrerequisiteNotMetError(
            f"group {situation.absent_groups[0]} is not in user pool {pool.pool_id}; create it, or "
            "leave it out of parameters.groups"
        )
    told = f"Create user {username} in {pool.pool_id} and mail the invitation."
    if situation.groups:
        told += f" Then add it to {', '.join(situation.groups)}; undo deletes the user."
    return Plan(
        decision=Decision.CHANGE,
        reason=told,
        calls=[
            create_user(
                situation.pool_arn,
                username,
                not_before=situation.not_before,
                not_after=situation.not_after,
            ),
            *(add_to_group(situation.pool_arn, username, g) for g in situation.groups),
        ],
    )


def _require_pool(pool: UserPool) -> None:
    by_address = pool.username_attributes
    if "email" in pool.alias_attributes or (by_address and "email" not in by_address):
        raise PrerequisiteNotMetError(
            f"user pool {pool.pool_id} takes no e-mail address as a username; create the user by "
            "hand"
        )
    if _WITHOUT_A_PASSWORD & set(pool.first_factors):
        raise PrerequisiteNotMetError(
            f"user pool {pool.pool_id} signs in without a password, so Cognito would mail none; "
            "create the user by hand"
        )


def wanted_groups(plan: Plan) -> tuple[str, ...]:
    """Groups of the plan."""
    added = [call for call in plan.calls if call.api == ADD_TO_GROUP]
    return tuple(g for call in added for g in call.after[username_of(call)]["Groups"])


def judge(plan: Plan, user: User | None, groups: Collection[str], *, final: bool) -> Verification:
    """Whether the user is there, enabled, invited, and in its groups.

    Who signs in at once is past the invitation: that is no failure.

    Parameters
    ----------
    user
        As it is now; None if it is not there.
    groups
        Groups that it is in.
    final
        Whether this is the last look: what is not so then has failed.
    """
    wanted = wanted_groups(plan)
    here = [group for group in wanted if group in groups]
    invited = user is not None and user.status in (INVITED, CONFIRMED)
    enabled = user is not None and user.enabled
    checks = [
        _check("user is enabled", int(enabled), 1),
        _check("user is invited", int(invited), 1),
        _check("groups", len(here), len(wanted)),
    ]
    if all(check.passed for check in checks) and user is not None:
        reason = f"the user is enabled and {user.status}"
        if wanted:
            reason += f", in {', '.join(wanted)}"
        return Verification(verdict=Verdict.PASSED, reason=reason, checks=checks)
    if user is None:
        reason = "there is no such user"
    elif not (enabled and invited):
        reason = f"the user is {'enabled' if enabled else 'disabled'} and {user.status}"
    else:
        reason = f"the user is not in {', '.join(g for g in wanted if g not in here)}"
    verdict = Verdict.FAILED if final else Verdict.PENDING
    return Verification(verdict=verdict, reason=reason, checks=checks)


def _check(name: str, observed: int, threshold: int) -> Check:
    return Check(
        name=name,
        observed=float(observed),
        threshold=float(threshold),
        samples=1,
        passed=observed >= threshold,
    )


def undo_obstacle(user: User | None, username: str) -> str | None:
    """Why the user of a run is not deleted."""
    if user is None or user.status == INVITED:
        return None
    return (
        f"user {username} is {user.status}, so somebody has signed in or reset it, and it is not "
        "deleted; use disable_user, or delete it by hand"
    )

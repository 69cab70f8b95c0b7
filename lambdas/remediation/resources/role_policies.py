"""IAM roles: what their policies grant, what of it was used, and replacing inline policies."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from lambdas.remediation.contracts import Json, PlannedCall
from lambdas.remediation.errors import (
    PrerequisiteNotMetError,
    ResourceBusyError,
    TargetNotFoundError,
)
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading

PUT_ROLE_POLICY = "iam:PutRolePolicy"
STACK_TAG = "aws:cloudformation:stack-name"
_STATEMENT = "Statement"
_UNSIMULATED = {"InvalidInput", "PolicyEvaluation"}


class Role(Frozen):
    """A role; `stack_name` is the stack in its tags, where CloudFormation has put it there."""

    name: str
    arn: str
    created_at: datetime
    stack_name: str | None = None


class RolePolicy(Frozen):
    """A policy of a role. AWS's own managed policies are not read: `document` is None."""

    name: str
    arn: str = ""
    document: Json = None


class ServiceUse(Frozen):
    """When a role last called a service, successfully or not; None: never in the time tracked.

    Parameters
    ----------
    namespace
        As in actions: `dynamodb`.
    actions
        The same for each action that IAM tracks. Actions on data are not among them.
    """

    namespace: str
    last_used: datetime | None = None
    actions: Mapping[str, datetime | None] = field(default_factory=dict)


def statements(document: Json) -> list[dict[str, Any]]:
    """Statements of a policy document: IAM lets a single one stand without its list."""
    found = document.get(_STATEMENT, [])
    return [found] if isinstance(found, dict) else list(found)


def by_statement(document: Json) -> dict[str, Json]:
    """A document as values before and after: statement by statement, by `Sid` where all have one.

    People then see which statement changes, and only that.
    """
    listed = statements(document)
    sids = [s.get("Sid", "") for s in listed]
    named = all(sids) and len(set(sids)) == len(sids)
    keys = sids if named else [str(number) for number in range(len(listed))]
    return {**document, _STATEMENT: dict(zip(keys, listed, strict=True))}


def document_of(value: Json) -> dict[str, Json]:
    """The policy document that `by_statement` has taken apart."""
    return {**value, _STATEMENT: list(value[_STATEMENT].values())}


def put_policy(role: Role, policy: RolePolicy, document: Json) -> PlannedCall:
    """The call that replaces an inline policy of a role."""
    return PlannedCall(
        api=PUT_ROLE_POLICY,
        resource=role.arn,
        arguments={"RoleName": role.name, "PolicyName": policy.name},
        before={policy.name: by_statement(policy.document)},
        after={policy.name: by_statement(document)},
    )


class RolePolicies:
    """Reads roles, their policies and their use, and replaces inline policies.

    Parameters
    ----------
    client
        Client of IAM.
    """

    service: ClassVar[str] = "iam"
    apis: ClassVar[tuple[str, ...]] = (PUT_ROLE_POLICY,)

    def __init__(self, client: Any) -> None:
        self._client = client
        # Reports that are being made, by role. IAM gives one only to the session that asked for
        # it, so it is of no use to another process, and a retry as a rule meets this one again.
        self._reports: dict[str, str] = {}

    def role(self, role_name: str) -> Role:
        """Describe a role.

        Raises
        ------
        TargetNotFoundError
            There is no such role.
        """
        with reading(f"role {role_name}"):
            found = self._client.get_role(RoleName=role_name)["Role"]
        tags = {t["Key"]: t["Value"] for t in found.get("Tags", [])}
        return Role(
            name=found["RoleName"],
            arn=found["Arn"],
            created_at=found["CreateDate"].astimezone(UTC),
            stack_name=tags.get(STACK_TAG),
        )

    def inline(self, role_name: str) -> tuple[RolePolicy, ...]:
        """Inline policies of a role, by name."""
        names = self._listed("list_role_policies", "PolicyNames", role_name)
        return tuple(
            RolePolicy(name=name, document=self._document(role_name, name))
            for name in sorted(names)
        )

    def managed(self, role_name: str) -> tuple[RolePolicy, ...]:
        """Managed policies that are attached to a role, by name; AWS's own without document."""
        listed = self._listed("list_attached_role_policies", "AttachedPolicies", role_name)
        return tuple(
            RolePolicy(
                name=p["PolicyName"],
                arn=p["PolicyArn"],
                document=self._managed_document(p["PolicyArn"]),
            )
            for p in sorted(listed, key=lambda p: str(p["PolicyName"]))
        )

    def use(self, role_arn: str) -> tuple[ServiceUse, ...]:
        """When the services and actions that a role may call were last called by it.

        Raises
        ------
        ResourceBusyError
            IAM is still making the report: ask again.
        PrerequisiteNotMetError
            IAM could not make it.
        """
        subject = f"last accessed details of {role_arn}"
        if role_arn not in self._reports:
            with reading(subject):
                made = self._client.generate_service_last_accessed_details(
                    Arn=role_arn, Granularity="ACTION_LEVEL"
                )
            self._reports[role_arn] = made["JobId"]
        found: list[ServiceUse] = []
        for page in self._report(role_arn, subject):
            if page["JobStatus"] == "IN_PROGRESS":
                raise ResourceBusyError(f"{subject}: IAM is making them, look again")
            if page["JobStatus"] != "COMPLETED":
                del self._reports[role_arn]
                why = page.get("Error", {}).get("Message", "no reason given")
                raise PrerequisiteNotMetError(f"{subject}: IAM could not make them: {why}")
            found += [_use(s) for s in page["ServicesLastAccessed"]]
        # The next run asks for a new one.
        del self._reports[role_arn]
        return tuple(found)

    def allowed(
        self, document: Json, actions: Sequence[str], resources: Sequence[str]
    ) -> set[tuple[str, str]]:
        """Action and resource of what a policy document allows, by IAM's policy simulator.

        Raises
        ------
        PrerequisiteNotMetError
            The simulator cannot judge this document.
        """
        pages = self._client.get_paginator("simulate_custom_policy").paginate(
            PolicyInputList=[json.dumps(document)],
            ActionNames=list(actions),
            ResourceArns=list(resources),
        )
        try:
            with reading("policy simulator"):
                results = [r for page in pages for r in page["EvaluationResults"]]
        except ClientError as error:
            if error.response["Error"]["Code"] in _UNSIMULATED:
                raise PrerequisiteNotMetError(f"policy simulator: {error}") from error
            raise
        return {
            (r["EvalActionName"], r["EvalResourceName"])
            for r in results
            if r["EvalDecision"] == "allowed"
        }

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """The call's inline policy as it is now; None where it, or its role, is gone."""
        (name,) = call.after
        try:
            return {name: by_statement(self._document(_role_name(call), name))}
        except TargetNotFoundError:
            return {name: None}

    def apply(self, call: PlannedCall) -> None:
        """Put the call's inline policy in the place of the present one.

        Raises
        ------
        ChangeFailedError
            IAM does not accept the policy.
        """
        ((name, value),) = call.after.items()
        with changing(call, self.present):
            self._client.put_role_policy(
                RoleName=_role_name(call),
                PolicyName=name,
                PolicyDocument=json.dumps(document_of(value), separators=(",", ":")),
            )

    def _listed(self, operation: str, key: str, role_name: str) -> list[Any]:
        pages = self._client.get_paginator(operation).paginate(RoleName=role_name)
        with reading(f"policies of role {role_name}"):
            return [one for page in pages for one in page[key]]

    def _document(self, role_name: str, policy_name: str) -> dict[str, Json]:
        with reading(f"policy {policy_name} of role {role_name}"):
            found = self._client.get_role_policy(RoleName=role_name, PolicyName=policy_name)
        document: dict[str, Json] = found["PolicyDocument"]
        return document

    def _managed_document(self, arn: str) -> dict[str, Json] | None:
        if arn.split(":")[4] == "aws":
            return None
        with reading(f"policy {arn}"):
            version = self._client.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            found = self._client.get_policy_version(PolicyArn=arn, VersionId=version)
        document: dict[str, Json] = found["PolicyVersion"]["Document"]
        return document

    def _report(self, role_arn: str, subject: str) -> Iterator[dict[str, Any]]:
        # botocore has no paginator for this operation.
        wanted: dict[str, Any] = {"JobId": self._reports[role_arn]}
        while True:
            try:
                with reading(subject):
                    page = self._client.get_service_last_accessed_details(**wanted)
            except TargetNotFoundError as error:
                del self._reports[role_arn]
                raise ResourceBusyError(f"{subject}: IAM has let go of them, ask anew") from error
            yield page
            if not page.get("IsTruncated"):
                return
            wanted["Marker"] = page["Marker"]


def _role_name(call: PlannedCall) -> str:
    return call.resource.rpartition("/")[2]


def _use(found: Mapping[str, Any]) -> ServiceUse:
    return ServiceUse(
        namespace=found["ServiceNamespace"],
        last_used=_moment(found.get("LastAuthenticated")),
        actions={
            a["ActionName"]: _moment(a.get("LastAccessedTime"))
            for a in found.get("TrackedActionsLastAccessed") or []
        },
    )


def _moment(found: datetime | None) -> datetime | None:
    return found and found.astimezone(UTC)

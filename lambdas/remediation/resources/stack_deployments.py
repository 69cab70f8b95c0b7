"""Deployments of a CloudFormation stack: change sets, what they would change, and the way back.

A release is the template as it was submitted and the parameters: its digest is what a planned call
has before and after. The release that a deployment replaces is kept in the template bucket under
its digest, so the way back needs nothing but the call: CloudFormation has no rollback of an update
that is complete.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import UTC, datetime
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from lambdas.remediation import clients, platform
from lambdas.remediation.contracts import Json, PlannedCall, canonical_json
from lambdas.remediation.errors import (
    ChangeFailedError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
)
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.platform import CloudFormationStack, Platform
from lambdas.remediation.resources.client_errors import changing, reading
from lambdas.remediation.targets import place_of

CREATE_CHANGE_SET = "cloudformation:CreateChangeSet"
EXECUTE_CHANGE_SET = "cloudformation:ExecuteChangeSet"
PUT_OBJECT = "s3:PutObject"
# The one key of a planned call: the digest of the release.
RELEASE = "Release"
RECORDS = "remediation"
# Where in the template bucket a pipeline puts what a run may make a change set from.
TEMPLATES = "templates"
CHANGE_SET = "ChangeSet"
FORESEEN = "Foreseen"
AVAILABLE = "AVAILABLE"
# Value that CloudFormation shows for a parameter with NoEcho.
HIDDEN = "****"
NESTED = "AWS::CloudFormation::Stack"
# A stack in one of these can be updated, and its template is what is deployed.
SETTLED = (
    "CREATE_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
)
# What holds data, or keys without which data cannot be read, and is made anew empty.
STATEFUL = (
    "AWS::Cognito::UserPool",
    "AWS::DocDB::DBCluster",
    "AWS::DynamoDB::GlobalTable",
    "AWS::DynamoDB::Table",
    "AWS::EFS::FileSystem",
    "AWS::KMS::Key",
    "AWS::Kinesis::Stream",
    "AWS::OpenSearchService::Domain",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBInstance",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
)
_PLACE = ("Bucket", "Key")
_CREATING = ("CREATE_PENDING", "CREATE_IN_PROGRESS")
# A recorded template was deployed with what it needs: going back to it grants nothing new. Of a new
# one nothing is executed that its plan did not list, and the execution role bounds the rest.
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


class StackRelease(Frozen):
    """What is deployed: the template as submitted, and the parameters (hidden ones as `****`)."""

    template: str
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of template and parameters."""
        text = canonical_json({"template": self.template, "parameters": self.parameters})
        return hashlib.sha256(text.encode()).hexdigest()


class StackState(Frozen):
    """A stack as DescribeStacks tells it.

    Parameters
    ----------
    drift, drift_checked_at
        What the last detection of drift found, and when that was.
    """

    stack_id: str
    stack_name: str
    status: str
    role_arn: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    drift: str = "NOT_CHECKED"
    drift_checked_at: datetime | None = None

    @property
    def running(self) -> bool:
        """Whether CloudFormation is still at it."""
        return self.status.endswith("_IN_PROGRESS")

    @property
    def settled(self) -> bool:
        """Whether it can be updated."""
        return self.status in SETTLED


class ResourceChange(Frozen):
    """What a change set would do to one resource."""

    action: str
    logical_id: str
    resource_type: str
    physical_id: str = ""
    replacement: str = "False"
    policy_action: str = ""

    @property
    def takes_state_away(self) -> bool:
        """Whether a resource that holds data is removed or replaced, or may be.

        What happens inside a nested stack, its change in this change set does not tell.
        """
        if self.resource_type == NESTED:
            return self.action != "Add"
        return self.resource_type in STATEFUL and (
            self.action in ("Remove", "Dynamic") or self.replacement in ("True", "Conditional")
        )

    @property
    def loses_data(self) -> bool:
        """Whether the data is gone afterwards: no policy of the template retains it."""
        return self.takes_state_away and not self.policy_action.endswith(("Retain", "Snapshot"))

    @property
    def summary(self) -> str:
        """For people: `Modify Orders (AWS::DynamoDB::Table, replacement: Conditional)`."""
        replaced = self.replacement in ("True", "Conditional")
        how = f", replacement: {self.replacement}" if replaced else ""
        return f"{self.action} {self.logical_id} ({self.resource_type}{how})"


class ChangeSet(Frozen):
    """A change set as DescribeChangeSet tells it.

    Parameters
    ----------
    triggers, monitoring_minutes
        Rollback triggers that it was made with: CloudFormation's own watch over the deployment.
    """

    arn: str
    name: str
    status: str
    status_reason: str = ""
    execution_status: str = AVAILABLE
    changes: tuple[ResourceChange, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)
    triggers: int = 0
    monitoring_minutes: int = 0

    @property
    def creating(self) -> bool:
        """Whether CloudFormation is still working it out."""
        return self.status in _CREATING

    @property
    def executed(self) -> bool:
        """Whether its execution has begun, however it ended."""
        return self.execution_status.startswith("EXECUTE_")

    @property
    def executable(self) -> bool:
        """Whether it can be executed now."""
        return self.status == "CREATE_COMPLETE" and self.execution_status == AVAILABLE


def deployment(
    stack: StackState, change_set: ChangeSet, *, before: str, after: str, request_id: str
) -> PlannedCall:
    """The call that executes a change set; its inverse deploys the release from before.

    Parameters
    ----------
    before, after
        Digests of the releases.
    request_id
        Marks the events of the deployment, so that it is known as this run's own.
    """
    return PlannedCall(
        api=EXECUTE_CHANGE_SET,
        resource=stack.stack_id,
        arguments={
            "StackName": stack.stack_name,
            # By ARN: a change set that was made anew under the same name is another one.
            "ChangeSetName": change_set.arn,
            "DisableRollback": False,
            "ClientRequestToken": request_id,
        },
        before={RELEASE: before},
        after={RELEASE: after},
    )


def creation(
    stack: StackState, change_set: ChangeSet, *, bucket: str, template_key: str
) -> PlannedCall:
    """The call that makes a change set from a template in the bucket; it changes no resource.

    Parameters
    ----------
    change_set
        What it must come to: its changes are part of the call, and so of what a yes is about.
    """
    return PlannedCall(
        api=CREATE_CHANGE_SET,
        resource=stack.stack_id,
        arguments={
            "Bucket": bucket,
            "Key": template_key,
            FORESEEN: [change.summary for change in change_set.changes],
        },
        before={CHANGE_SET: None},
        after={CHANGE_SET: change_set.name},
        reversible=False,
    )


def record(stack: StackState, bucket: str, digest: str) -> PlannedCall:
    """The call that keeps the deployed release, for a way back; it is not taken back itself."""
    key = f"{RECORDS}/{stack.stack_name}/{digest}"
    return PlannedCall(
        api=PUT_OBJECT,
        resource=f"arn:{place_of(stack.stack_id).partition}:s3:::{bucket}/{key}",
        arguments={"Bucket": bucket, "Key": key},
        before={RELEASE: None},
        after={RELEASE: digest},
        reversible=False,
    )


def stack_name_of(stack_id: str) -> str:
    """Name in the ARN of a stack."""
    return stack_id.split("/")[1]


def parameters_of(template: str, stack: StackState) -> dict[str, str]:
    """Values that a template would be deployed with: those of the stack, else its defaults.

    Raises
    ------
    PrerequisiteNotMetError
        It is no JSON template, or a new parameter has no default.
    """
    declared = parsed(template).get("Parameters", {})
    values = {}
    for name, about in declared.items():
        if name not in stack.parameters and "Default" not in about:
            raise PrerequisiteNotMetError(
                f"the template's parameter {name} is new and has no default: make the change set "
                "yourself, with its value, and give its name"
            )
        default = about.get("Default")
        text = default if isinstance(default, str) else json.dumps(default)
        values[name] = stack.parameters.get(name, text)
    return values


def parsed(template: str) -> dict[str, Json]:
    """A template as an object.

    Raises
    ------
    PrerequisiteNotMetError
        It is not JSON.
    """
    try:
        found = json.loads(template)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise PrerequisiteNotMetError(
            "the template is not JSON, so what it changes cannot be told before: make the change "
            "set yourself and give its name"
        )
    return found


class StackDeployments:
    """Reads stacks and change sets, deploys, and deploys what was there before.

    While CloudFormation works on the stack, `present` raises ResourceBusyError: what is deployed is
    not known then, and the state machine looks again.

    Parameters
    ----------
    client
        Client of CloudFormation.
    s3
        Client of S3, where the releases are kept.
    known
        The platform: its stacks name bucket and role.
    """

    service: ClassVar[str] = "cloudformation"
    apis: ClassVar[tuple[str, ...]] = (CREATE_CHANGE_SET, EXECUTE_CHANGE_SET, PUT_OBJECT)

    def __init__(self, client: Any, s3: Any = None, known: Platform | None = None) -> None:
        self._client = client
        self._s3 = s3 or clients.client("s3")
        self._known = known

    # --- what is there ---

    def state(self, stack_name: str) -> StackState:
        """Describe a stack.

        Raises
        ------
        TargetNotFoundError
            There is no such stack.
        """
        try:
            with reading(f"stack {stack_name}"):
                (found,) = self._client.describe_stacks(StackName=stack_name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            raise TargetNotFoundError(f"stack {stack_name}: not found") from error
        drift = found.get("DriftInformation", {})
        checked_at = drift.get("LastCheckTimestamp")
        return StackState(
            stack_id=found["StackId"],
            stack_name=found["StackName"],
            status=found["StackStatus"],
            role_arn=found.get("RoleARN"),
            parameters=_parameters(found.get("Parameters", ()), {}),
            drift=drift.get("StackDriftStatus", "NOT_CHECKED"),
            drift_checked_at=checked_at.astimezone(UTC) if checked_at else None,
        )

    def release(self, stack: StackState) -> StackRelease:
        """What is deployed in a settled stack."""
        return StackRelease(
            template=self._template(StackName=stack.stack_name), parameters=stack.parameters
        )

    def change_set(self, stack: StackState, name: str) -> ChangeSet | None:
        """A change set of the stack with all its changes; None if there is none of that name."""
        pages = self._client.get_paginator("describe_change_set").paginate(
            StackName=stack.stack_name, ChangeSetName=name
        )
        try:
            with reading(f"change set {name} of stack {stack.stack_name}"):
                found = list(pages)
        except self._client.exceptions.ChangeSetNotFoundException:
            return None
        first = found[0]
        rollback = first.get("RollbackConfiguration", {})
        return ChangeSet(
            arn=first["ChangeSetId"],
            name=first["ChangeSetName"],
            status=first["Status"],
            status_reason=first.get("StatusReason", ""),
            execution_status=first.get("ExecutionStatus", "UNAVAILABLE"),
            changes=tuple(_changes(found)),
            parameters=_parameters(first.get("Parameters", ()), stack.parameters),
            triggers=len(rollback.get("RollbackTriggers", ())),
            monitoring_minutes=rollback.get("MonitoringTimeInMinutes", 0),
        )

    def release_of(self, stack: StackState, change_set: ChangeSet) -> StackRelease:
        """What would be deployed after a change set."""
        return StackRelease(
            template=self._template(StackName=stack.stack_name, ChangeSetName=change_set.arn),
            parameters=change_set.parameters,
        )

    def submitted(self, bucket: str, template_key: str) -> str:
        """A template in the bucket; JSON in one canonical form.

        Raises
        ------
        TargetNotFoundError
            There is no such object.
        """
        with reading(f"s3://{bucket}/{template_key}"):
            answer = self._s3.get_object(Bucket=bucket, Key=template_key)
            body: str = answer["Body"].read().decode()
        try:
            return canonical_json(json.loads(body))
        except ValueError:
            return body

    def physical_ids(self, stack_name: str) -> dict[str, str]:
        """Physical ids of what a stack holds, by logical id."""
        pages = self._client.get_paginator("list_stack_resources").paginate(StackName=stack_name)
        with reading(f"resources of stack {stack_name}"):
            return {
                found["LogicalResourceId"]: found["PhysicalResourceId"]
                for page in pages
                for found in page["StackResourceSummaries"]
                if "PhysicalResourceId" in found
            }

    def recorded(self, stack_name: str, digest: str) -> StackRelease | None:
        """A release from the template bucket; None if it is not there, or not what it was."""
        bucket = self._configured(stack_name).template_bucket
        if bucket is None:
            return None
        return self._recorded(bucket, f"{RECORDS}/{stack_name}/{digest}")

    def present(self, call: PlannedCall) -> dict[str, Json]:
        """Digest of what is deployed, or of what is recorded; or the change set that was made.

        Raises
        ------
        ResourceBusyError
            CloudFormation is working on the stack, or on the change set.
        TargetNotFoundError
            The stack is gone.
        """
        if call.api == PUT_OBJECT:
            bucket, _, key = call.resource.partition(":::")[2].partition("/")
            kept = self._recorded(bucket, key)
            return {RELEASE: kept.digest if kept else None}
        if call.api == CREATE_CHANGE_SET:
            name = call.after[CHANGE_SET]
            found = self.change_set(self.state(call.resource), name)
            if found is not None and found.creating:
                raise ResourceBusyError(f"change set {name} is being made, look again later")
            return {CHANGE_SET: found.name if found else None}
        # By ARN, also a deleted stack can be described: another one of that name is another one.
        stack = self.state(call.resource)
        if stack.running:
            raise ResourceBusyError(f"stack {stack.stack_name} is {stack.status}, look again later")
        if not stack.settled:
            return {RELEASE: stack.status}
        return {RELEASE: self.release(stack).digest}

    # --- changes ---

    def apply(self, call: PlannedCall) -> None:
        """Keep the release, make or execute the change set, or deploy the release from before.

        Raises
        ------
        ChangeFailedError
            AWS does not accept the change, or the way back would lose data.
        ResourceBusyError
            The way back has begun: look again.
        """
        if call.api == PUT_OBJECT:
            self._keep(call)
        elif call.api == CREATE_CHANGE_SET:
            self._make(call)
        elif call.arguments:
            with changing(call, self.present):
                self._client.execute_change_set(**call.arguments)
        else:
            self._go_back(call)

    def settle(self, call: PlannedCall) -> None:
        """End the deployment that a call has begun, each status by its own way.

        Raises
        ------
        ResourceBusyError
            CloudFormation is working on the stack: look again.
        RollbackFailedError
            CloudFormation failed twice to go back: a person has to choose what to skip.
        """
        stack = self.state(call.resource)
        if stack.settled:
            return
        own, mark = self._role(stack), str(call.arguments["ClientRequestToken"])
        if stack.status == "UPDATE_IN_PROGRESS":
            self._ask("cancel_update_stack", stack, f"{mark}-cancel")
        elif stack.status == "UPDATE_FAILED":
            self._ask("rollback_stack", stack, f"{mark}-back", **own)
        elif stack.status == "UPDATE_ROLLBACK_FAILED":
            if not self._ask("continue_update_rollback", stack, f"{mark}-again", **own):
                raise RollbackFailedError(
                    f"stack {stack.stack_name} is {stack.status} after a second try; see its "
                    "events, then: aws cloudformation continue-update-rollback --stack-name "
                    f"{stack.stack_name} --resources-to-skip <logical id>"
                )
        elif not stack.running:
            raise RollbackFailedError(f"stack {stack.stack_name} is {stack.status}: see its events")
        raise ResourceBusyError(f"stack {stack.stack_name} was {stack.status}, look again later")

    def _ask(self, operation: str, stack: StackState, mark: str, **more: str) -> bool:
        """Ask for one step of the way back; says whether it was news to CloudFormation."""
        try:
            with reading(f"stack {stack.stack_name}"):
                getattr(self._client, operation)(
                    StackName=stack.stack_name, ClientRequestToken=mark, **more
                )
        except self._client.exceptions.TokenAlreadyExistsException:
            return False
        except ClientError as error:
            # The stack is in another status by now: the next look tells.
            if error.response["Error"]["Code"] != "ValidationError":
                raise
        return True

    def _go_back(self, call: PlannedCall) -> None:
        stack, wanted = self.state(call.resource), str(call.after[RELEASE])
        if stack.status == "UPDATE_ROLLBACK_COMPLETE":
            raise ChangeFailedError(
                f"stack {stack.stack_name}: deploying the recorded template failed, see its events"
            )
        change_set = self._way_back(call, stack, wanted)
        lost = [c.summary for c in change_set.changes if c.loses_data]
        if lost:
            self.delete(stack, change_set)
            raise ChangeFailedError(
                f"stack {stack.stack_name}: the recorded template would lose data, so a person "
                f"has to deploy it: {'; '.join(lost)}"
            )
        with changing(call, self.present):
            self._client.execute_change_set(
                StackName=stack.stack_name,
                ChangeSetName=change_set.arn,
                DisableRollback=False,
                ClientRequestToken=f"{change_set.name}-{change_set.arn.rpartition('/')[2]}"[:128],
            )
        if self.present(call) != call.after:
            raise ResourceBusyError(f"stack {stack.stack_name} is being updated, look again later")

    def _way_back(self, call: PlannedCall, stack: StackState, wanted: str) -> ChangeSet:
        """The change set from what is deployed to the recorded release, ready to be executed."""
        name = f"{RECORDS}-{str(call.before[RELEASE])[:16]}-{wanted[:16]}"
        found = self.change_set(stack, name)
        if found is not None and found.execution_status == "EXECUTE_IN_PROGRESS":
            raise ResourceBusyError(f"change set {name} is being executed, look again later")
        if found is not None and found.status == "CREATE_COMPLETE" and not found.executable:
            # Of an earlier way back between the same two releases.
            self.delete(stack, found)
            found = None
        if found is None:
            self._create(call, stack, name, wanted)
            found = self.change_set(stack, name)
        if found is None or found.creating:
            raise ResourceBusyError(f"change set {name} is being made, look again later")
        if not found.executable:
            self.delete(stack, found)
            raise ChangeFailedError(
                f"stack {stack.stack_name}: no change set from the recorded template: "
                f"{found.status_reason}"
            )
        return found

    def _create(self, call: PlannedCall, stack: StackState, name: str, wanted: str) -> None:
        kept = self.recorded(stack.stack_name, wanted)
        if kept is None:
            raise ChangeFailedError(
                f"stack {stack.stack_name}: release {wanted[:16]} is no longer in the template "
                "bucket, or was changed there"
            )
        bucket = self._configured(stack.stack_name).template_bucket
        self._ask_for(
            call,
            stack,
            name,
            template=f"{bucket}/{RECORDS}/{stack.stack_name}/{wanted}/template",
            parameters=[
                {"ParameterKey": key, "UsePreviousValue": True}
                # What is as it was need not be told, and may be told by another name: the
                # value of an SSM parameter instead of the parameter's.
                if value in (HIDDEN, stack.parameters.get(key))
                else {"ParameterKey": key, "ParameterValue": value}
                for key, value in kept.parameters.items()
            ],
        )

    def _make(self, call: PlannedCall) -> None:
        stack, (bucket, key) = self.state(call.resource), (call.arguments[k] for k in _PLACE)
        asked = parameters_of(self.submitted(bucket, key), stack)
        self._ask_for(
            call,
            stack,
            call.after[CHANGE_SET],
            template=f"{bucket}/{key}",
            parameters=[
                {"ParameterKey": name, "UsePreviousValue": True}
                for name in asked
                if name in stack.parameters
            ],
        )

    def _ask_for(
        self,
        call: PlannedCall,
        stack: StackState,
        name: str,
        *,
        template: str,
        parameters: list[dict[str, Json]],
    ) -> None:
        with changing(call, self.present):
            self._client.create_change_set(
                StackName=stack.stack_name,
                ChangeSetName=name,
                ChangeSetType="UPDATE",
                TemplateURL=f"{self._s3.meta.endpoint_url}/{template}",
                Parameters=parameters,
                Capabilities=_CAPABILITIES,
                **self._role(stack),
            )

    def delete(self, stack: StackState, change_set: ChangeSet) -> None:
        """Delete a change set; the stack stays as it is."""
        with reading(f"change set {change_set.name}"):
            self._client.delete_change_set(StackName=stack.stack_name, ChangeSetName=change_set.arn)

    def _keep(self, call: PlannedCall) -> None:
        bucket, key = call.arguments["Bucket"], call.arguments["Key"]
        stack = self.state(key.split("/")[1])
        deployed = self.release(stack)
        if deployed.digest != call.after[RELEASE]:
            raise PrerequisiteNotMetError(
                f"stack {stack.stack_name} was deployed by someone else since the plan was made"
            )
        with changing(call, self.present):
            for part, text in (
                ("parameters", canonical_json(deployed.parameters)),
                ("template", deployed.template),
            ):
                self._s3.put_object(Bucket=bucket, Key=f"{key}/{part}", Body=text.encode())

    # --- what the above share ---

    def _configured(self, stack_name: str) -> CloudFormationStack:
        return (self._known or platform.load()).stack(stack_name)

    def _role(self, stack: StackState) -> dict[str, str]:
        """The role to change the resources with, where it is not left to the stack's own."""
        role = self._configured(stack.stack_name).execution_role
        if role is None:
            return {}
        place = place_of(stack.stack_id)
        return {"RoleARN": f"arn:{place.partition}:iam::{place.account}:role/{role}"}

    def _template(self, **which: str) -> str:
        """The template as it was submitted; JSON in one canonical form."""
        with reading(f"template of stack {which['StackName']}"):
            body = self._client.get_template(**which, TemplateStage="Original")["TemplateBody"]
        return body if isinstance(body, str) else canonical_json(body)

    def _recorded(self, bucket: str, key: str) -> StackRelease | None:
        parts = {}
        for part in ("parameters", "template"):
            try:
                with reading(f"s3://{bucket}/{key}/{part}"):
                    answer = self._s3.get_object(Bucket=bucket, Key=f"{key}/{part}")
                    parts[part] = answer["Body"].read().decode()
            except TargetNotFoundError:
                return None
        found = StackRelease(template=parts["template"], parameters=json.loads(parts["parameters"]))
        return found if found.digest == key.rpartition("/")[2] else None


def _parameters(found: Any, of_stack: Mapping[str, str]) -> dict[str, str]:
    """Values by name. What the stack hides is hidden everywhere."""
    values = {}
    for one in found:
        name = one["ParameterKey"]
        before = of_stack.get(name, "")
        kept = one.get("UsePreviousValue") or before == HIDDEN
        values[name] = before if kept else one.get("ParameterValue", "")
    return values


def _changes(pages: list[Mapping[str, Any]]) -> Iterator[ResourceChange]:
    for page in pages:
        for change in page.get("Changes", ()):
            found = change.get("ResourceChange")
            if found is not None:
                yield ResourceChange(
                    action=found["Action"],
                    logical_id=found["LogicalResourceId"],
                    resource_type=found["ResourceType"],
                    physical_id=found.get("PhysicalResourceId", ""),
                    replacement=found.get("Replacement", "False"),
                    policy_action=found.get("PolicyAction", ""),
                )

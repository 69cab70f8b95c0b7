"""Deployments of a stack against botocore's model: every status, and the way back."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.errors import (
    ChangeFailedError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
)
from lambdas.remediation.platform import CloudFormationStack, Platform
from lambdas.remediation.resources.stack_deployments import (
    ChangeSet,
    ResourceChange,
    StackDeployments,
    StackRelease,
    StackState,
    creation,
    deployment,
    parameters_of,
    record,
)

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/app/1-2-3"
SET_ARN = "arn:aws:cloudformation:us-east-1:123456789012:changeSet/release-2/4-5-6"
ROLE = "arn:aws:iam::123456789012:role/exec"
PLATFORM = Platform(
    name="test",
    stacks=(
        CloudFormationStack(stack_name="app", template_bucket="templates", execution_role="exec"),
    ),
)
OLD_BODY, NEW_BODY = {"Resources": {"Old": {}}}, {"Resources": {"New": {}}}
PARAMETERS = {"Size": "2", "Hidden": "****"}
OLD = StackRelease(template='{"Resources":{"Old":{}}}', parameters=PARAMETERS)
NEW = StackRelease(template='{"Resources":{"New":{}}}', parameters=PARAMETERS)
STACK = StackState(stack_id=ID, stack_name="app", status="UPDATE_COMPLETE", parameters=PARAMETERS)
CALL = deployment(
    STACK,
    ChangeSet(arn=SET_ARN, name="release-2", status="CREATE_COMPLETE"),
    before=OLD.digest,
    after=NEW.digest,
    request_id="remediation-1",
)
BACK = CALL.inverse()
BACK_NAME = f"remediation-{NEW.digest[:16]}-{OLD.digest[:16]}"
BACK_ARN = f"arn:aws:cloudformation:us-east-1:123456789012:changeSet/{BACK_NAME}/7-8-9"
KEY = f"remediation/app/{OLD.digest}"
KEEP = record(STACK, "templates", OLD.digest)


class Aws:
    """What CloudFormation and S3 are asked, in order, and what they answer."""

    def __init__(self) -> None:
        self.cloudformation = boto3.client("cloudformation", region_name="us-east-1")
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.stacks = Stubber(self.cloudformation)
        self.bucket = Stubber(self.s3)
        self.deployments = StackDeployments(self.cloudformation, self.s3, PLATFORM)

    def stack(self, status: str = "UPDATE_COMPLETE", name: str = ID, **parameters_now: str) -> None:
        found = {
            "StackId": ID,
            "StackName": "app",
            "CreationTime": NOON,
            "StackStatus": status,
            "Parameters": parameters(PARAMETERS | parameters_now),
            "DriftInformation": {"StackDriftStatus": "DRIFTED", "LastCheckTimestamp": NOON},
        }
        self.stacks.add_response("describe_stacks", {"Stacks": [found]}, {"StackName": name})

    def template(self, body: dict[str, Any], **which: str) -> None:
        self.stacks.add_response(
            "get_template",
            {"TemplateBody": json.dumps(body, indent=2)},
            {"StackName": "app", "TemplateStage": "Original", **which},
        )

    def present(self, body: dict[str, Any], status: str = "UPDATE_COMPLETE") -> None:
        self.stack(status)
        self.template(body)

    def change_set(
        self, name: str = BACK_NAME, status: str = "CREATE_COMPLETE", **more: Any
    ) -> None:
        found = {
            "ChangeSetName": name,
            "ChangeSetId": BACK_ARN if name == BACK_NAME else SET_ARN,
            "Status": status,
            "ExecutionStatus": "AVAILABLE",
            **more,
        }
        self.stacks.add_response(
            "describe_change_set", found, {"StackName": "app", "ChangeSetName": name}
        )

    def no_change_set(self, name: str = BACK_NAME) -> None:
        self.stacks.add_client_error(
            "describe_change_set",
            "ChangeSetNotFound",
            expected_params={"StackName": "app", "ChangeSetName": name},
        )

    def kept(self, release: StackRelease = OLD) -> None:
        for part, text in (
            ("parameters", json.dumps(release.parameters)),
            ("template", release.template),
        ):
            self.bucket.add_response(
                "get_object",
                {"Body": io.BytesIO(text.encode())},
                {"Bucket": "templates", "Key": f"{KEY}/{part}"},
            )

    def not_kept(self) -> None:
        self.bucket.add_client_error("get_object", "NoSuchKey")

    def made(self, **size: Any) -> None:
        self.stacks.add_response(
            "create_change_set",
            {"Id": BACK_ARN},
            {
                "StackName": "app",
                "ChangeSetName": BACK_NAME,
                "ChangeSetType": "UPDATE",
                "TemplateURL": f"{self.s3.meta.endpoint_url}/templates/{KEY}/template",
                "Parameters": [
                    {"ParameterKey": "Size", **(size or {"UsePreviousValue": True})},
                    {"ParameterKey": "Hidden", "UsePreviousValue": True},
                ],
                "Capabilities": [
                    "CAPABILITY_IAM",
                    "CAPABILITY_NAMED_IAM",
                    "CAPABILITY_AUTO_EXPAND",
                ],
                "RoleARN": ROLE,
            },
        )

    def deleted(self) -> None:
        self.stacks.add_response(
            "delete_change_set", {}, {"StackName": "app", "ChangeSetName": BACK_ARN}
        )

    def executed(self) -> None:
        self.stacks.add_response(
            "execute_change_set",
            {},
            {
                "StackName": "app",
                "ChangeSetName": BACK_ARN,
                "DisableRollback": False,
                "ClientRequestToken": f"{BACK_NAME}-7-8-9",
            },
        )


def parameters(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()]


@pytest.fixture
def aws():
    found = Aws()
    with found.stacks, found.bucket:
        yield found
        found.stacks.assert_no_pending_responses()
        found.bucket.assert_no_pending_responses()


class TestReading:
    def test_a_stack_with_its_drift(self, aws):
        aws.stack(name="app")

        found = aws.deployments.state("app")

        assert (found.stack_id, found.status, found.settled) == (ID, "UPDATE_COMPLETE", True)
        assert (found.drift, found.drift_checked_at) == ("DRIFTED", NOON)

    def test_a_stack_that_is_not_there(self, aws):
        aws.stacks.add_client_error("describe_stacks", "ValidationError", "does not exist")

        with pytest.raises(TargetNotFoundError):
            aws.deployments.state("app")

    def test_what_may_not_be_read_is_not_taken_for_absent(self, aws):
        aws.stacks.add_client_error("describe_stacks", "AccessDenied")

        with pytest.raises(ClientError):
            aws.deployments.state("app")

    def test_a_release_is_the_same_however_its_template_is_written(self, aws):
        aws.template(OLD_BODY)

        assert aws.deployments.release(STACK) == OLD

    def test_another_value_of_a_parameter_is_another_release(self):
        other = StackRelease(template=OLD.template, parameters={**PARAMETERS, "Size": "3"})

        assert other.digest != OLD.digest

    def test_a_change_set_with_all_its_pages_and_no_hidden_value(self, aws):
        def change(name: str, **more: Any) -> dict[str, Any]:
            found = {"Action": "Modify", "LogicalResourceId": name, "ResourceType": "T::T::T"}
            return {"Type": "Resource", "ResourceChange": {**found, **more}}

        page = {
            "ChangeSetName": "release-2",
            "ChangeSetId": SET_ARN,
            "Status": "CREATE_COMPLETE",
            "ExecutionStatus": "AVAILABLE",
            "Parameters": [
                {"ParameterKey": "Size", "UsePreviousValue": True},
                {"ParameterKey": "Hidden", "ParameterValue": "a new one"},
                {"ParameterKey": "New", "ParameterValue": "5"},
            ],
            "RollbackConfiguration": {
                "RollbackTriggers": [{"Arn": "arn:alarm", "Type": "AWS::CloudWatch::Alarm"}],
                "MonitoringTimeInMinutes": 30,
            },
        }
        which = {"StackName": "app", "ChangeSetName": "release-2"}
        aws.stacks.add_response(
            "describe_change_set", {**page, "Changes": [change("A")], "NextToken": "2"}, which
        )
        aws.stacks.add_response(
            "describe_change_set",
            {**page, "Changes": [change("B", Replacement="True", PhysicalResourceId="b")]},
            {**which, "NextToken": "2"},
        )

        found = aws.deployments.change_set(STACK, "release-2")

        assert found.parameters == {"Size": "2", "Hidden": "****", "New": "5"}
        assert [c.summary for c in found.changes] == [
            "Modify A (T::T::T)",
            "Modify B (T::T::T, replacement: True)",
        ]
        assert (found.triggers, found.monitoring_minutes) == (1, 30)
        assert found.executable

    def test_no_change_set_of_that_name(self, aws):
        aws.no_change_set("release-9")

        assert aws.deployments.change_set(STACK, "release-9") is None


class TestPresent:
    @pytest.mark.parametrize(
        "status",
        [
            "UPDATE_IN_PROGRESS",
            "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
            "UPDATE_ROLLBACK_IN_PROGRESS",
        ],
    )
    def test_not_known_while_cloudformation_is_at_it(self, aws, status):
        aws.stack(status)

        with pytest.raises(ResourceBusyError):
            aws.deployments.present(CALL)

    @pytest.mark.parametrize("status", ["UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
    def test_the_release_of_a_settled_stack(self, aws, status):
        aws.present(OLD_BODY, status)

        assert aws.deployments.present(CALL) == {"Release": OLD.digest}

    @pytest.mark.parametrize(
        "status", ["UPDATE_FAILED", "UPDATE_ROLLBACK_FAILED", "DELETE_COMPLETE"]
    )
    def test_neither_before_nor_after_in_any_other_status(self, aws, status):
        aws.stack(status)

        assert aws.deployments.present(CALL) == {"Release": status}

    def test_what_is_kept(self, aws):
        aws.kept()

        assert aws.deployments.present(KEEP) == {"Release": OLD.digest}

    def test_nothing_kept(self, aws):
        aws.not_kept()

        assert aws.deployments.present(KEEP) == {"Release": None}

    def test_what_was_changed_in_the_bucket_does_not_count(self, aws):
        aws.kept(NEW)

        assert aws.deployments.recorded("app", OLD.digest) is None


class TestKeep:
    def test_the_template_last_for_it_says_that_all_is_there(self, aws):
        aws.stack(name="app")
        aws.template(OLD_BODY)
        for part, body in (
            ("parameters", b'{"Hidden":"****","Size":"2"}'),
            ("template", OLD.template.encode()),
        ):
            aws.bucket.add_response(
                "put_object", {}, {"Bucket": "templates", "Key": f"{KEY}/{part}", "Body": body}
            )

        aws.deployments.apply(KEEP)

    def test_not_what_someone_else_has_deployed_since(self, aws):
        aws.stack(name="app")
        aws.template(NEW_BODY)

        with pytest.raises(PrerequisiteNotMetError):
            aws.deployments.apply(KEEP)

    def test_is_not_taken_back(self):
        assert KEEP.reversible is False


class TestExecute:
    def test_by_arn_and_with_a_rollback_when_it_fails(self, aws):
        aws.stacks.add_response(
            "execute_change_set",
            {},
            {
                "StackName": "app",
                "ChangeSetName": SET_ARN,
                "DisableRollback": False,
                "ClientRequestToken": "remediation-1",
            },
        )

        aws.deployments.apply(CALL)

    def test_a_change_set_that_is_out_of_date_is_refused(self, aws):
        aws.stacks.add_client_error("execute_change_set", "InvalidChangeSetStatus", "is OBSOLETE")
        aws.present(OLD_BODY)

        with pytest.raises(ChangeFailedError, match="is OBSOLETE"):
            aws.deployments.apply(CALL)


class TestMake:
    """A change set from a template of a pipeline."""

    SEEN = ResourceChange(action="Add", logical_id="New", resource_type="AWS::SQS::Queue")
    ASKED = creation(
        STACK,
        ChangeSet(arn="made-1", name="made-1", status="CREATE_COMPLETE", changes=(SEEN,)),
        bucket="templates",
        template_key="templates/app/7.json",
    )

    def template(self, aws, body: dict[str, Any]) -> None:
        aws.bucket.add_response(
            "get_object",
            {"Body": io.BytesIO(json.dumps(body, indent=2).encode())},
            {"Bucket": "templates", "Key": "templates/app/7.json"},
        )

    def test_parameters_keep_their_values_and_new_ones_their_defaults(self, aws):
        aws.stack()
        declared = {"Size": {"Type": "Number"}, "Fresh": {"Type": "String", "Default": "x"}}
        self.template(aws, {**NEW_BODY, "Parameters": declared})
        aws.stacks.add_response(
            "create_change_set",
            {"Id": "arn:aws:cloudformation:us-east-1:123456789012:changeSet/made-1/1"},
            {
                "StackName": "app",
                "ChangeSetName": "made-1",
                "ChangeSetType": "UPDATE",
                "TemplateURL": f"{aws.s3.meta.endpoint_url}/templates/templates/app/7.json",
                "Parameters": [{"ParameterKey": "Size", "UsePreviousValue": True}],
                "Capabilities": [
                    "CAPABILITY_IAM",
                    "CAPABILITY_NAMED_IAM",
                    "CAPABILITY_AUTO_EXPAND",
                ],
                "RoleARN": ROLE,
            },
        )

        aws.deployments.apply(self.ASKED)

    def test_it_is_there_or_not(self, aws):
        aws.stack()
        aws.no_change_set("made-1")
        aws.stack()
        aws.change_set("made-1")

        assert aws.deployments.present(self.ASKED) == {"ChangeSet": None}
        assert aws.deployments.present(self.ASKED) == {"ChangeSet": "made-1"}

    def test_while_it_is_made_nobody_knows(self, aws):
        aws.stack()
        aws.change_set("made-1", status="CREATE_IN_PROGRESS")

        with pytest.raises(ResourceBusyError):
            aws.deployments.present(self.ASKED)

    def test_the_template_is_read_in_the_form_that_digests_are_made_of(self, aws):
        self.template(aws, OLD_BODY)

        assert aws.deployments.submitted("templates", "templates/app/7.json") == OLD.template

    def test_values_are_those_of_the_stack_else_the_defaults(self):
        declared = {"Size": {"Default": 1}, "Count": {"Default": 3}, "Fresh": {"Default": "x"}}

        assert parameters_of(json.dumps({"Parameters": declared}), STACK) == {
            "Size": "2",
            "Count": "3",
            "Fresh": "x",
        }

    def test_a_new_parameter_without_a_value_is_for_a_person(self):
        with pytest.raises(PrerequisiteNotMetError, match="Fresh is new and has no default"):
            parameters_of('{"Parameters": {"Fresh": {"Type": "String"}}}', STACK)


class TestSettle:
    @pytest.mark.parametrize(
        ("status", "operation", "asked"),
        [
            (
                "UPDATE_IN_PROGRESS",
                "cancel_update_stack",
                {"ClientRequestToken": "remediation-1-cancel"},
            ),
            (
                "UPDATE_FAILED",
                "rollback_stack",
                {"ClientRequestToken": "remediation-1-back", "RoleARN": ROLE},
            ),
            (
                "UPDATE_ROLLBACK_FAILED",
                "continue_update_rollback",
                {"ClientRequestToken": "remediation-1-again", "RoleARN": ROLE},
            ),
        ],
    )
    def test_each_status_has_its_own_way(self, aws, status, operation, asked):
        aws.stack(status)
        aws.stacks.add_response(operation, {}, {"StackName": "app", **asked})

        with pytest.raises(ResourceBusyError):
            aws.deployments.settle(CALL)

    def test_waits_while_cloudformation_goes_back_by_itself(self, aws):
        aws.stack("UPDATE_ROLLBACK_IN_PROGRESS")

        with pytest.raises(ResourceBusyError):
            aws.deployments.settle(CALL)

    def test_nothing_to_end(self, aws):
        aws.stack("UPDATE_ROLLBACK_COMPLETE")

        aws.deployments.settle(CALL)

    def test_looks_again_when_the_status_has_moved_on(self, aws):
        aws.stack("UPDATE_IN_PROGRESS")
        aws.stacks.add_client_error("cancel_update_stack", "ValidationError", "cannot be called")

        with pytest.raises(ResourceBusyError):
            aws.deployments.settle(CALL)

    def test_a_rollback_that_failed_twice_is_for_a_person(self, aws):
        aws.stack("UPDATE_ROLLBACK_FAILED")
        aws.stacks.add_client_error("continue_update_rollback", "TokenAlreadyExistsException")

        with pytest.raises(RollbackFailedError, match="--resources-to-skip <logical id>"):
            aws.deployments.settle(CALL)

    def test_a_stack_that_is_deleted_is_for_a_person(self, aws):
        aws.stack("DELETE_COMPLETE")

        with pytest.raises(RollbackFailedError):
            aws.deployments.settle(CALL)


class TestWayBack:
    def test_a_parameter_that_is_as_it_was_is_not_told_again(self, aws):
        """It may be known by another name: the value of an SSM parameter instead of that one's."""
        aws.stack()
        aws.no_change_set()
        aws.kept()
        aws.made()
        aws.change_set()
        aws.executed()
        aws.present(OLD_BODY)

        aws.deployments.apply(BACK)

    def test_deploys_the_recorded_template_with_its_parameters(self, aws):
        aws.stack(Size="3")
        aws.no_change_set()
        aws.kept()
        aws.made(ParameterValue="2")
        aws.change_set()
        aws.executed()
        aws.present(OLD_BODY)

        aws.deployments.apply(BACK)

    def test_comes_again_until_the_change_set_is_there(self, aws):
        aws.stack()
        aws.no_change_set()
        aws.kept()
        aws.made()
        aws.change_set(status="CREATE_IN_PROGRESS", ExecutionStatus="UNAVAILABLE")

        with pytest.raises(ResourceBusyError):
            aws.deployments.apply(BACK)

    def test_comes_again_until_the_stack_has_it(self, aws):
        aws.stack()
        aws.change_set()
        aws.executed()
        aws.stack("UPDATE_IN_PROGRESS")

        with pytest.raises(ResourceBusyError):
            aws.deployments.apply(BACK)

    def test_waits_for_its_change_set_that_is_being_executed(self, aws):
        aws.stack()
        aws.change_set(ExecutionStatus="EXECUTE_IN_PROGRESS")

        with pytest.raises(ResourceBusyError):
            aws.deployments.apply(BACK)

    def test_makes_the_change_set_of_an_earlier_way_back_anew(self, aws):
        aws.stack()
        aws.change_set(ExecutionStatus="EXECUTE_COMPLETE")
        aws.deleted()
        aws.kept()
        aws.made()
        aws.change_set()
        aws.executed()
        aws.present(OLD_BODY)

        aws.deployments.apply(BACK)

    def test_never_takes_data_away(self, aws):
        removed = {
            "Action": "Remove",
            "LogicalResourceId": "Orders",
            "ResourceType": "AWS::DynamoDB::Table",
            "PolicyAction": "Delete",
        }
        aws.stack()
        aws.change_set(Changes=[{"Type": "Resource", "ResourceChange": removed}])
        aws.deleted()

        with pytest.raises(ChangeFailedError, match="Remove Orders"):
            aws.deployments.apply(BACK)

    def test_says_why_there_is_no_change_set(self, aws):
        aws.stack()
        aws.change_set(
            status="FAILED", ExecutionStatus="UNAVAILABLE", StatusReason="no such parameter"
        )
        aws.deleted()

        with pytest.raises(ChangeFailedError, match="no such parameter"):
            aws.deployments.apply(BACK)

    def test_that_failed_is_not_tried_again(self, aws):
        aws.stack("UPDATE_ROLLBACK_COMPLETE")

        with pytest.raises(ChangeFailedError, match="deploying the recorded template failed"):
            aws.deployments.apply(BACK)

    def test_without_a_record_there_is_none(self, aws):
        aws.stack()
        aws.no_change_set()
        aws.not_kept()

        with pytest.raises(ChangeFailedError, match="no longer in the template bucket"):
            aws.deployments.apply(BACK)

    def test_works_from_the_values_alone(self):
        assert (
            PlannedCall(
                api="cloudformation:ExecuteChangeSet",
                resource=ID,
                arguments={},
                before={"Release": NEW.digest},
                after={"Release": OLD.digest},
            )
            == BACK
        )


@pytest.mark.parametrize(
    ("action", "kind", "more", "takes", "loses"),
    [
        ("Remove", "AWS::DynamoDB::Table", {}, True, True),
        ("Remove", "AWS::S3::Bucket", {"policy_action": "Retain"}, True, False),
        ("Remove", "AWS::RDS::DBInstance", {"policy_action": "Snapshot"}, True, False),
        ("Remove", "AWS::SQS::Queue", {}, False, False),
        ("Modify", "AWS::Cognito::UserPool", {}, False, False),
        ("Modify", "AWS::Cognito::UserPool", {"replacement": "True"}, True, True),
        ("Modify", "AWS::KMS::Key", {"replacement": "Conditional"}, True, True),
        (
            "Modify",
            "AWS::S3::Bucket",
            {"replacement": "True", "policy_action": "ReplaceAndRetain"},
            True,
            False,
        ),
        ("Dynamic", "AWS::SecretsManager::Secret", {}, True, True),
        ("Add", "AWS::DynamoDB::Table", {}, False, False),
        ("Modify", "AWS::CloudFormation::Stack", {}, True, True),
        ("Add", "AWS::CloudFormation::Stack", {}, False, False),
    ],
)
def test_what_takes_data_away(action, kind, more, takes, loses):
    change = ResourceChange(action=action, logical_id="X", resource_type=kind, **more)

    assert (change.takes_state_away, change.loses_data) == (takes, loses)

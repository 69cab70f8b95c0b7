"""Provisioned concurrency: what is read, set and removed, and what bounds it."""

import boto3
import pytest
from botocore.stub import Stubber

from lambdas.remediation.changes import Position, position
from lambdas.remediation.errors import (
    ChangeFailedError,
    ResourceBusyError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.resources.provisioned_concurrency import (
    Allocation,
    FunctionSetup,
    Headroom,
    ProvisionedConcurrency,
    provision,
)

ARN = "arn:aws:lambda:us-east-1:123456789012:function:chat:live"
KEY = "ProvisionedConcurrentExecutions"
ALIAS = {"FunctionName": "chat", "Qualifier": "live"}
CALL = provision(ARN, before=None, wanted=4)
ABSENT = "ProvisionedConcurrencyConfigNotFoundException"


@pytest.fixture
def client():
    return boto3.client("lambda", region_name="us-east-1")


@pytest.fixture
def concurrency(client) -> ProvisionedConcurrency:
    return ProvisionedConcurrency(client)


@pytest.fixture
def stub(client):
    with Stubber(client) as stubber:
        yield stubber
    stubber.assert_no_pending_responses()


def finds(stub, requested: int | None, **more) -> None:
    if requested is None:
        stub.add_client_error("get_provisioned_concurrency_config", ABSENT, expected_params=ALIAS)
    else:
        answer = {"RequestedProvisionedConcurrentExecutions": requested, "Status": "READY", **more}
        stub.add_response("get_provisioned_concurrency_config", answer, ALIAS)


class TestRead:
    def test_what_is_allocated(self, concurrency, stub):
        finds(stub, 4, AllocatedProvisionedConcurrentExecutions=4)

        assert concurrency.read("chat", "live") == Allocation(
            requested=4, allocated=4, status="READY"
        )

    def test_what_failed_and_why(self, concurrency, stub):
        finds(stub, 4, Status="FAILED", StatusReason="no permission")

        assert concurrency.read("chat", "live") == Allocation(
            requested=4, allocated=0, status="FAILED", status_reason="no permission"
        )

    def test_nothing_is_provisioned(self, concurrency, stub):
        finds(stub, None)

        assert concurrency.read("chat", "live") is None

    def test_an_alias_that_is_gone_is_not_an_alias_without(self, concurrency, stub):
        stub.add_client_error("get_provisioned_concurrency_config", "ResourceNotFoundException")

        with pytest.raises(TargetNotFoundError):
            concurrency.read("chat", "live")

    def test_a_bad_moment_of_lambda_is_retried(self, concurrency, stub):
        stub.add_client_error("get_provisioned_concurrency_config", "ServiceException")

        with pytest.raises(ThrottledError):
            concurrency.read("chat", "live")


class TestSetup:
    def setup(self, concurrency, stub, **configuration) -> FunctionSetup:
        stub.add_response(
            "get_function_configuration",
            {"MemorySize": 512, "Environment": {"Variables": {"API_KEY": "x"}}, **configuration},
            {"FunctionName": "chat", "Qualifier": "7"},
        )
        return concurrency.setup("chat", "7")

    @pytest.mark.parametrize(
        ("runtime", "possible"),
        [
            ("python3.11", False),
            ("python3.12", True),
            ("python3.14", True),
            ("java8.al2", False),
            ("java11", True),
            ("java21", True),
            ("dotnet6", False),
            ("dotnet8", True),
            ("dotnetcore3.1", False),
            ("nodejs22.x", False),
            ("provided.al2023", False),
        ],
    )
    def test_runtimes_with_snap_start(self, concurrency, stub, runtime, possible):
        found = self.setup(concurrency, stub, Runtime=runtime)

        assert found == FunctionSetup(memory_mb=512, snap_start=False, could_snap_start=possible)

    @pytest.mark.parametrize(
        "obstacle",
        [
            {"EphemeralStorage": {"Size": 513}},
            {"FileSystemConfigs": [{"Arn": "arn:aws:" + "x" * 10, "LocalMountPath": "/mnt/x"}]},
        ],
        ids=str,
    )
    def test_what_keeps_a_function_from_snap_start(self, concurrency, stub, obstacle):
        found = self.setup(concurrency, stub, Runtime="python3.13", **obstacle)

        assert found.could_snap_start is False

    def test_a_container_image_has_no_runtime(self, concurrency, stub):
        assert self.setup(concurrency, stub, PackageType="Image").could_snap_start is False

    @pytest.mark.parametrize(("status", "on"), [("On", True), ("Off", False)])
    def test_a_version_with_snap_start(self, concurrency, stub, status, on):
        snap_start = {"ApplyOn": "PublishedVersions", "OptimizationStatus": status}

        found = self.setup(concurrency, stub, Runtime="java21", SnapStart=snap_start)

        assert found.snap_start is on


class TestHeadroom:
    @pytest.mark.parametrize(
        ("reserved", "expected"),
        [({}, None), ({"ReservedConcurrentExecutions": 20}, 20)],
        ids=["shared", "reserved"],
    )
    def test_of_account_and_function(self, concurrency, stub, reserved, expected):
        stub.add_response(
            "get_account_settings", {"AccountLimit": {"UnreservedConcurrentExecutions": 900}}, {}
        )
        stub.add_response("get_function_concurrency", reserved, {"FunctionName": "chat"})

        assert concurrency.headroom("chat") == Headroom(unreserved=900, reserved=expected)


class TestChange:
    @pytest.mark.parametrize(
        ("now", "expected"),
        [(None, Position.BEFORE), (4, Position.AFTER), (5, Position.ELSEWHERE)],
    )
    def test_where_it_stands(self, concurrency, stub, now, expected):
        finds(stub, now)

        assert position(CALL, [concurrency]) is expected

    def test_sets_the_number(self, concurrency, stub):
        stub.add_response("put_provisioned_concurrency_config", {}, {**ALIAS, KEY: 4})

        concurrency.apply(CALL)

    def test_the_way_back_removes_it(self, concurrency, stub):
        stub.add_response("delete_provisioned_concurrency_config", {}, ALIAS)

        concurrency.apply(CALL.inverse())

    def test_the_way_back_sets_the_old_number(self, concurrency, stub):
        stub.add_response("put_provisioned_concurrency_config", {}, {**ALIAS, KEY: 2})

        concurrency.apply(provision(ARN, before=2, wanted=4).inverse())

    def test_a_number_that_lambda_does_not_take_has_failed(self, concurrency, stub):
        stub.add_client_error(
            "put_provisioned_concurrency_config",
            "InvalidParameterValueException",
            "below its minimum value of [100]",
        )
        finds(stub, None)

        with pytest.raises(ChangeFailedError) as caught:
            concurrency.apply(CALL)

        assert "below its minimum value of [100]" in str(caught.value)

    def test_waits_while_the_alias_is_being_changed(self, concurrency, stub):
        stub.add_client_error("put_provisioned_concurrency_config", "ResourceConflictException")

        with pytest.raises(ResourceBusyError):
            concurrency.apply(CALL)

"""Dashboards: what a plan keeps of their bodies, what is read, written and deleted."""

import base64
import dataclasses
import zlib

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.stub import Stubber

from lambdas.remediation.changes import Position, position
from lambdas.remediation.errors import ChangeFailedError, ResourceBusyError, ThrottledError
from lambdas.remediation.resources.dashboard import (
    BODY,
    Dashboards,
    digest,
    pack,
    put_dashboard,
    recorded_characters,
    same,
    unpack,
)

ARN = "arn:aws:cloudwatch::123456789012:dashboard/Orders"
OLD = '{\n  "widgets": [ {"type": "text", "x": 0} ]\n}'
OLD_REWRITTEN = '{"widgets":[{"x":0,"type":"text"}]}'
NEW = '{"widgets":[]}'
NEW_SHA256 = "7f116ce064296bb68f5adc78f16e0298efd4a0db15077406976147f6ce69a5b8"
NAME = {"DashboardName": "Orders"}
REPLACE = put_dashboard("Orders", ARN, before=OLD, body=NEW)
CREATE = put_dashboard("Orders", ARN, before=None, body=NEW)


@pytest.fixture
def client():
    return boto3.client("cloudwatch", region_name="us-east-1")


@pytest.fixture
def dashboards(client) -> Dashboards:
    return Dashboards(client)


@pytest.fixture
def stub(client):
    with Stubber(client) as stubber:
        yield stubber
    stubber.assert_no_pending_responses()


def finds(stub, body: str | None) -> None:
    if body is None:
        stub.add_client_error("get_dashboard", "ResourceNotFound", expected_params=NAME)
    else:
        stub.add_response("get_dashboard", {BODY: body}, NAME)


class TestBodies:
    def test_a_body_comes_back_to_the_letter(self):
        assert unpack(pack(OLD)) == OLD

    def test_a_packed_body_begins_with_its_digest(self):
        assert pack(NEW).startswith(f"sha256:{NEW_SHA256} zlib:")

    def test_the_digest_is_of_what_a_body_says_not_of_how_it_is_written(self):
        assert digest(OLD) == digest(OLD_REWRITTEN)
        assert digest(OLD) != digest(NEW)

    @pytest.mark.parametrize(
        ("one", "other", "expected"),
        [
            (OLD, OLD_REWRITTEN, True),
            (OLD, NEW, False),
            (None, None, True),
            (OLD, None, False),
            ("no JSON", "no JSON", True),
            ("no JSON", "nor this", False),
        ],
    )
    def test_bodies_are_compared_by_what_they_say(self, one, other, expected):
        assert same(one, other) is expected

    def test_what_unpacks_to_more_than_any_dashboard_is_refused(self):
        with pytest.raises(ValueError, match="more than 8000000 bytes"):
            unpack(pack("x" * 8_000_001))

    def test_a_plan_tells_the_body_by_its_digest_and_keeps_both(self):
        assert REPLACE.arguments == {"DashboardName": "Orders", BODY: f"sha256:{NEW_SHA256}"}
        assert unpack(REPLACE.before[BODY]) == OLD
        assert unpack(REPLACE.after[BODY]) == NEW
        assert CREATE.before == {BODY: None}

    def test_both_bodies_count_as_recorded(self):
        assert recorded_characters(CREATE) == len(pack(NEW))
        assert recorded_characters(REPLACE) == len(pack(NEW)) + len(pack(OLD))


class TestPresent:
    @pytest.mark.parametrize(
        ("now", "expected"),
        [
            (OLD, Position.BEFORE),
            (OLD_REWRITTEN, Position.BEFORE),
            (NEW, Position.AFTER),
            ('{"widgets":[1]}', Position.ELSEWHERE),
            (None, Position.ELSEWHERE),
        ],
    )
    def test_tells_where_a_replacement_stands(self, dashboards, stub, now, expected):
        finds(stub, now)

        assert position(REPLACE, [dashboards]) is expected

    def test_no_dashboard_is_where_a_creation_begins(self, dashboards, stub):
        finds(stub, None)

        assert position(CREATE, [dashboards]) is Position.BEFORE

    def test_a_body_that_another_zlib_compressed_is_recognised(self, dashboards, stub):
        """The run and its undo may run on different runtimes."""
        text = base64.b64encode(zlib.compress(NEW.encode(), 0)).decode()
        other = dataclasses.replace(REPLACE, after={BODY: f"sha256:{NEW_SHA256} zlib:{text}"})
        finds(stub, NEW)

        assert position(other, [dashboards]) is Position.AFTER

    def test_a_bad_moment_of_cloudwatch_is_retried(self, dashboards, stub):
        stub.add_client_error("get_dashboard", "InternalServiceError")

        with pytest.raises(ThrottledError):
            dashboards.body("Orders")


class TestApply:
    def writes(self, stub, body: str, *messages: dict) -> None:
        stub.add_response(
            "put_dashboard", {"DashboardValidationMessages": list(messages)}, {**NAME, BODY: body}
        )

    def test_writes_the_new_body(self, dashboards, stub):
        self.writes(stub, NEW)

        dashboards.apply(REPLACE)

    def test_puts_the_old_body_back_to_the_letter(self, dashboards, stub):
        self.writes(stub, OLD)

        dashboards.apply(REPLACE.inverse())

    def test_deletes_what_was_not_there(self, dashboards, stub):
        stub.add_response("delete_dashboards", {}, {"DashboardNames": ["Orders"]})

        dashboards.apply(CREATE.inverse())

    def test_a_dashboard_that_cannot_be_shown_in_full_has_failed(self, dashboards, stub):
        self.writes(stub, NEW, {"DataPath": "/widgets/0", "Message": "unknown type"})

        with pytest.raises(ChangeFailedError) as caught:
            dashboards.apply(REPLACE)

        assert str(caught.value) == (
            f"{ARN}: CloudWatch cannot show all of it: /widgets/0: unknown type"
        )

    def test_warnings_about_the_old_body_do_not_stop_the_way_back(self, dashboards, stub):
        self.writes(stub, OLD, {"DataPath": "/widgets/0", "Message": "unknown type"})

        dashboards.apply(REPLACE.inverse())

    def test_a_body_that_cloudwatch_refuses_has_failed(self, dashboards, stub):
        stub.add_client_error("put_dashboard", "InvalidParameterInput", "bad body")
        finds(stub, OLD)

        with pytest.raises(ChangeFailedError) as caught:
            dashboards.apply(REPLACE)

        assert "InvalidParameterInput: bad body" in str(caught.value)

    def test_waits_while_someone_else_writes(self, dashboards, stub):
        stub.add_client_error("put_dashboard", "ConflictException")

        with pytest.raises(ResourceBusyError):
            dashboards.apply(REPLACE)

    def test_a_dashboard_that_was_deleted_meanwhile_is_deleted(self, dashboards, stub):
        stub.add_client_error("delete_dashboards", "ResourceNotFound")
        finds(stub, None)

        dashboards.apply(CREATE.inverse())

    def test_a_lost_answer_is_settled_by_what_is_there(self, client, dashboards, monkeypatch):
        def loses_the_answer(**_):
            raise ReadTimeoutError(endpoint_url="https://monitoring")

        monkeypatch.setattr(client, "put_dashboard", loses_the_answer)
        monkeypatch.setattr(client, "get_dashboard", lambda **_: {BODY: NEW})
        dashboards.apply(REPLACE)

        monkeypatch.setattr(client, "get_dashboard", lambda **_: {BODY: OLD})
        with pytest.raises(ResourceBusyError):
            dashboards.apply(REPLACE)

"""Steps of create_dashboard against simulated AWS: calls, changes, errors and answers."""

import dataclasses
import json
from datetime import UTC, datetime

import boto3
import pytest
from moto import mock_aws

from lambdas.remediation.contracts import Change, Execution, Kind, Mode, Run, Trigger, Verdict
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    InvalidRequestError,
    PrerequisiteNotMetError,
    RollbackFailedError,
)
from lambdas.remediation.platform import Function, Platform
from lambdas.remediation.resources.dashboard import Dashboards
from lambdas.remediation.step import Attempt, Clock, steps_of
from lambdas.runbooks.create_dashboard import steps
from lambdas.runbooks.create_dashboard.runbook import RUNBOOK

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ARN = "arn:aws:cloudwatch::123456789012:dashboard/Orders"
PLATFORM = Platform(name="shop", functions=(Function(function_name="orders", alias="live"),))
OLD = '{ "widgets": [] }'
EARLY, LAST = Attempt(number=1, final=False), Attempt(number=6, final=True)
RUN = Run(
    id="create-dashboard:one",
    runbook="create_dashboard",
    kind=Kind.CHANGE,
    mode=Mode.ACT,
    trigger=Trigger.PERSON,
    target={"dashboard_name": "Orders"},
    target_arn=ARN,
    parameters={},
    reason="",
    requested_by="person",
    execution=Execution(
        arn="arn:aws:states:eu-west-1:123456789012:execution:remediation-create-dashboard:one",
        name="one",
        started_at=NOON,
    ),
    lease_until=NOON,
    limits=RUNBOOK.limits.as_dict(),
)


class Aws:
    """Simulated CloudWatch, a record of the calls made, and what it says about a body."""

    def __init__(self) -> None:
        self.client = boto3.client("cloudwatch", region_name="eu-west-1")
        self.calls: set[str] = set()
        self.messages: list[dict] = []
        events = self.client.meta.events
        events.register("before-call.cloudwatch", self._note)
        events.register("after-call.cloudwatch.PutDashboard", self._warn)
        self.dashboards = Dashboards(self.client)

    def _note(self, model, **_) -> None:
        self.calls.add(f"cloudwatch:{model.name}")

    def _warn(self, parsed, **_) -> None:
        # moto stores any JSON without a word.
        parsed["DashboardValidationMessages"] = self.messages

    def put(self, body: str) -> None:
        self.client.put_dashboard(DashboardName="Orders", DashboardBody=body)
        self.calls.clear()

    @property
    def body(self) -> str | None:
        return Dashboards(self.client).body("Orders")

    def prepare(self, **parameters):
        run = dataclasses.replace(RUN, parameters=parameters)
        return steps.prepare(run=run, platform=PLATFORM, dashboards=self.dashboards)

    def write(self, plan) -> Change:
        return steps.write_dashboard(plan=plan, clock=Clock(), dashboards=self.dashboards)

    def verify(self, plan, attempt=EARLY):
        return steps.verify(run=RUN, plan=plan, attempt=attempt, dashboards=self.dashboards)

    def roll_back(self, plan) -> Change:
        return steps.roll_back(plan=plan, clock=Clock(), dashboards=self.dashboards)


@pytest.fixture
def aws():
    with mock_aws():
        yield Aws()


def declared(step: str) -> set[str]:
    return set(steps_of(steps)[step].calls)


class TestPrepare:
    def test_plans_the_graphs_of_the_platform_in_the_region_of_the_run(self, aws):
        prepared = aws.prepare()

        assert prepared.plan.evidence["graphs"] == [
            "orders:live: invocations, errors, throttles",
            "orders:live: duration",
        ]
        assert prepared.plan.reason.startswith("Create dashboard Orders: 2 graphs")
        assert prepared.snapshot == {"body_sha256": None}
        assert aws.calls == declared("prepare")

    def test_notes_what_is_there(self, aws):
        aws.put(OLD)

        prepared = aws.prepare()

        # sha256 of {"widgets":[]}
        assert prepared.snapshot == {
            "body_sha256": "7f116ce064296bb68f5adc78f16e0298efd4a0db15077406976147f6ce69a5b8"
        }

    def test_a_wrong_period_is_refused_before_anything_is_read(self, aws):
        with pytest.raises(InvalidRequestError):
            aws.prepare(period_seconds=45)

        assert aws.calls == set()


class TestWrite:
    def test_writes_what_is_verified(self, aws):
        plan = aws.prepare(period_seconds=60).plan
        aws.calls.clear()

        aws.write(plan)

        assert aws.calls == declared("write_dashboard")
        assert aws.verify(plan).verdict is Verdict.PASSED
        header, first, _ = json.loads(aws.body)["widgets"]
        assert header["properties"]["markdown"].startswith("# shop")
        assert first["properties"]["period"] == 60
        assert first["properties"]["region"] == "eu-west-1"

    def test_a_repeated_step_writes_once(self, aws):
        plan = aws.prepare().plan
        aws.write(plan)

        (result,) = aws.write(plan).calls

        assert result.already_applied is True

    def test_a_second_run_has_nothing_to_do(self, aws):
        aws.write(aws.prepare().plan)

        with pytest.raises(PrerequisiteNotMetError) as caught:
            aws.prepare()

        assert str(caught.value).startswith("nothing to do: ")

    def test_what_someone_else_made_meanwhile_is_not_replaced(self, aws):
        plan = aws.prepare().plan
        aws.put(OLD)

        with pytest.raises(ConcurrentChangeError):
            aws.write(plan)

        assert aws.body == OLD

    def test_widgets_that_cannot_be_shown_are_taken_back(self, aws):
        aws.put(OLD)
        plan = aws.prepare().plan
        aws.messages = [{"DataPath": "/widgets/1", "Message": "no such region"}]

        with pytest.raises(ChangeFailedError):
            aws.write(plan)
        aws.roll_back(plan)

        assert aws.body == OLD


class TestVerify:
    def test_pending_until_the_last_look(self, aws):
        plan = aws.prepare().plan

        assert aws.verify(plan).verdict is Verdict.PENDING
        assert aws.verify(plan, LAST).verdict is Verdict.FAILED
        assert aws.calls == declared("verify")

    def test_the_hold_watch_does_not_wait(self, aws):
        plan = aws.prepare().plan

        found = steps.watch_hold(run=RUN, plan=plan, dashboards=aws.dashboards)

        assert found.verdict is Verdict.FAILED


class TestRollBack:
    def test_deletes_what_was_not_there(self, aws):
        plan = aws.prepare().plan
        aws.write(plan)

        change = aws.roll_back(plan)

        assert len(change.calls) == 1
        assert aws.body is None
        assert declared("roll_back") == aws.calls

    def test_puts_back_what_was_there_to_the_letter(self, aws):
        aws.put(OLD)
        plan = aws.prepare().plan
        aws.write(plan)

        aws.roll_back(plan)

        assert aws.body == OLD

    def test_leaves_alone_what_was_not_written(self, aws):
        aws.put(OLD)
        plan = aws.prepare().plan

        assert aws.roll_back(plan).calls == []

    def test_never_replaces_what_someone_else_wrote_since(self, aws):
        plan = aws.prepare().plan
        aws.write(plan)
        aws.put(OLD)

        with pytest.raises(RollbackFailedError):
            aws.roll_back(plan)

        assert aws.body == OLD

"""Steps of optimize_cold_starts against simulated AWS: calls, changes, errors and answers."""

import dataclasses
import functools
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from lambdas.remediation.contracts import (
    Change,
    Execution,
    Kind,
    Mode,
    Plan,
    Run,
    Trigger,
    Verdict,
)
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    PrerequisiteNotMetError,
    RollbackFailedError,
    TargetNotFoundError,
)
from lambdas.remediation.platform import Function, Platform
from lambdas.remediation.resources.function_logs import FunctionLogs
from lambdas.remediation.resources.lambda_alias import LambdaAliases
from lambdas.remediation.resources.metrics import Metrics
from lambdas.remediation.resources.provisioned_concurrency import ProvisionedConcurrency
from lambdas.remediation.resources.scalable_target import ScalableTargets
from lambdas.remediation.step import Attempt, Clock, steps_of
from lambdas.runbooks.optimize_cold_starts import steps
from lambdas.runbooks.optimize_cold_starts.runbook import RUNBOOK

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:chat"
KEY = "ProvisionedConcurrentExecutions"
ABSENT = "ProvisionedConcurrencyConfigNotFoundException"
PLATFORM = Platform(
    name="test",
    functions=(Function(function_name="chat", alias="live"), Function(function_name="plain")),
)
EARLY, LAST = Attempt(number=1, final=False), Attempt(number=8, final=True)
SERVICES = ("lambda", "logs", "cloudwatch", "application-autoscaling")
RUN = Run(
    id="optimize-cold-starts:one",
    runbook="optimize_cold_starts",
    kind=Kind.CHANGE,
    mode=Mode.ACT,
    trigger=Trigger.PERSON,
    target={"function_name": "chat"},
    target_arn=FUNCTION_ARN,
    parameters={},
    reason="",
    requested_by="person",
    execution=Execution(arn="arn", name="one", started_at=NOON),
    lease_until=NOON,
    limits=RUNBOOK.limits.as_dict(),
)


@functools.cache
def _session() -> boto3.session.Session:
    # One for the module: a session parses the service models again.
    return boto3.session.Session(
        aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )


class Aws:
    """The function `chat` with its alias `live` on version 7: what AWS answers, and was asked.

    Answers every call of the clients; requests are checked against the service models.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.errors: dict[str, str] = {}
        self.requested: int | None = None
        self.status, self.allocated = "READY", None
        self.cold, self.warm = 20, 380
        self.metrics: dict[str, dict[datetime, float]] = {}
        self.now = NOON
        self._clients = {name: _session().client(name) for name in SERVICES}
        for name, client in self._clients.items():
            client.meta.events.register(f"provide-client-params.{name}", self._note)
            client.meta.events.register(f"before-call.{name}", self._answer)
        self.concurrency = ProvisionedConcurrency(self._clients["lambda"])

    def _note(self, params: dict[str, Any], **_: Any) -> None:
        self._asked = params

    def _answer(self, model: Any, **_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        service = model.service_model.service_name
        name = {"FilterLogEvents": "logs"}.get(model.name, service)
        self.calls.append(f"{name}:{model.name}")
        code = self.errors.get(model.name)
        if code is None:
            answer = getattr(self, f"_{model.name}")(self._asked)
        else:
            answer = {"Error": {"Code": code, "Message": "why"}}
        status = 400 if "Error" in answer else 200
        return SimpleNamespace(status_code=status), {"ResponseMetadata": {}, **answer}

    def _GetAlias(self, _: Any) -> dict[str, Any]:
        return {"AliasArn": f"{FUNCTION_ARN}:live", "FunctionVersion": "7", "RevisionId": "r"}

    def _GetFunctionConfiguration(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["Qualifier"] == "7"
        return {
            "Runtime": "python3.13",
            "MemorySize": 512,
            "State": "Active",
            "Environment": {"Variables": {"API_KEY": "hunter2"}},
        }

    def _GetAccountSettings(self, _: Any) -> dict[str, Any]:
        return {"AccountLimit": {"UnreservedConcurrentExecutions": 1_000}}

    def _GetFunctionConcurrency(self, _: Any) -> dict[str, Any]:
        return {}

    def _GetProvisionedConcurrencyConfig(self, _: Any) -> dict[str, Any]:
        if self.requested is None:
            return {"Error": {"Code": ABSENT, "Message": "none"}}
        allocated = self.requested if self.allocated is None else self.allocated
        return {
            "RequestedProvisionedConcurrentExecutions": self.requested,
            "AllocatedProvisionedConcurrentExecutions": allocated,
            "Status": self.status,
            "StatusReason": "why" if self.status == "FAILED" else "",
        }

    def _PutProvisionedConcurrencyConfig(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.requested = asked[KEY]
        return {}

    def _DeleteProvisionedConcurrencyConfig(self, _: Any) -> dict[str, Any]:
        self.requested = None
        return {}

    def _FilterLogEvents(self, _: Any) -> dict[str, Any]:
        warm = "REPORT RequestId: 5f0c\tDuration: 3 ms"
        lines = [f"{warm}\tInit Duration: 800 ms"] * self.cold + [warm] * self.warm
        return {"events": [{"message": m, "logStreamName": "[7]a"} for m in lines]}

    def _DescribeScalableTargets(self, _: Any) -> dict[str, Any]:
        return {"ScalableTargets": []}

    def _GetMetricData(self, asked: dict[str, Any]) -> dict[str, Any]:
        results = []
        for query in asked["MetricDataQueries"]:
            metric = query["MetricStat"]["Metric"]
            assert metric["Dimensions"][1] == {"Name": "Resource", "Value": "chat:live"}
            series = {
                t: v
                for t, v in self.metrics.get(metric["MetricName"], {}).items()
                if asked["StartTime"] <= t < asked["EndTime"]
            }
            results.append(
                {"Id": query["Id"], "Timestamps": list(series), "Values": list(series.values())}
            )
        return {"MetricDataResults": results}

    # --- the steps, as the machine enters them ---

    @property
    def clock(self) -> Clock:
        now = self.now

        class At(Clock):
            def now(self) -> datetime:
                return now

        return At()

    def prepare(self, function_name: str = "chat", **parameters: Any):
        run = dataclasses.replace(
            RUN, parameters=parameters, target={"function_name": function_name}
        )
        return steps.prepare(
            run=run,
            clock=self.clock,
            platform=PLATFORM,
            aliases=LambdaAliases(self._clients["lambda"]),
            concurrency=self.concurrency,
            targets=ScalableTargets(self._clients["application-autoscaling"]),
            logs=FunctionLogs(self._clients["logs"]),
            metrics=Metrics(self._clients["cloudwatch"]),
        )

    def plan(self, number: int = 2) -> Plan:
        return self.prepare(provisioned_concurrency=number).plan

    def provision(self, plan: Plan) -> Change:
        self.calls.clear()
        return steps.provision_concurrency(
            plan=plan, clock=self.clock, concurrency=self.concurrency
        )

    def check(self, plan: Plan, attempt: Attempt = EARLY):
        self.calls.clear()
        return steps.check_allocation(plan=plan, attempt=attempt, concurrency=self.concurrency)

    def verify(
        self, plan: Plan, change: Change | None, attempt: Attempt = EARLY, kind: Kind = Kind.CHANGE
    ):
        self.calls.clear()
        return steps.verify(
            run=dataclasses.replace(RUN, kind=kind),
            plan=plan,
            change=change,
            attempt=attempt,
            clock=self.clock,
            platform=PLATFORM,
            concurrency=self.concurrency,
            metrics=Metrics(self._clients["cloudwatch"]),
        )

    def roll_back(self, plan: Plan) -> Change:
        return steps.roll_back(plan=plan, clock=self.clock, concurrency=self.concurrency)

    def serve(self, minutes: int, **per_minute: float) -> None:
        """Traffic of so many minutes from now on; then it is the end of them."""
        for name, value in per_minute.items():
            self.metrics[name] = {self.now + MINUTE * n: value for n in range(minutes)}
        self.now += MINUTE * minutes


@pytest.fixture
def aws() -> Aws:
    return Aws()


def declared(step: str) -> set[str]:
    return set(steps_of(steps)[step].calls)


class TestPrepare:
    def test_plans_what_was_busy_at_once(self, aws):
        aws.metrics["ConcurrentExecutions"] = {NOON - MINUTE * 3: 4.0, NOON - MINUTE * 9: 2.0}

        prepared = aws.prepare()

        assert prepared.plan.calls[0].after == {KEY: 4}
        assert prepared.plan.evidence["cold_starts"] == 20
        assert prepared.plan.evidence["snap_start_possible"] is True
        assert "hunter2" not in str(prepared)
        assert set(aws.calls) == declared("prepare")

    def test_a_function_that_never_ran_has_no_log(self, aws):
        aws.errors["FilterLogEvents"] = "ResourceNotFoundException"

        with pytest.raises(PrerequisiteNotMetError) as caught:
            aws.prepare()

        assert str(caught.value).startswith("nothing to do: 0 of 0 invocations")
        assert aws.plan(2).calls[0].after == {KEY: 2}

    def test_a_function_without_alias_is_refused_before_anything_is_read(self, aws):
        with pytest.raises(PrerequisiteNotMetError):
            aws.prepare("plain")

        assert aws.calls == []

    def test_an_alias_that_does_not_exist(self, aws):
        aws.errors["GetAlias"] = "ResourceNotFoundException"

        with pytest.raises(TargetNotFoundError):
            aws.prepare()


class TestProvision:
    def test_once_however_often_the_step_is_repeated(self, aws):
        plan = aws.plan()

        aws.provision(plan)
        assert set(aws.calls) == declared("provision_concurrency")
        (result,) = aws.provision(plan).calls

        assert (aws.requested, result.already_applied) == (2, True)

    def test_never_over_what_someone_else_provisioned_since(self, aws):
        plan = aws.plan()
        aws.requested = 9

        with pytest.raises(ConcurrentChangeError):
            aws.provision(plan)

        assert aws.requested == 9

    def test_what_lambda_refuses(self, aws):
        plan = aws.plan()
        aws.errors["PutProvisionedConcurrencyConfig"] = "InvalidParameterValueException"

        with pytest.raises(ChangeFailedError):
            aws.provision(plan)

    def test_an_alias_that_is_gone_was_deleted_by_someone(self, aws):
        plan = aws.plan()
        aws.errors["GetProvisionedConcurrencyConfig"] = "ResourceNotFoundException"

        with pytest.raises(ConcurrentChangeError):
            aws.provision(plan)


class TestCheck:
    def test_waits_for_lambda(self, aws):
        plan = aws.plan()
        aws.provision(plan)
        aws.status, aws.allocated = "IN_PROGRESS", 1

        assert aws.check(plan).verdict is Verdict.PENDING
        assert aws.check(plan, LAST).verdict is Verdict.FAILED
        assert set(aws.calls) == declared("check_allocation")

    def test_a_failed_allocation_is_rolled_back(self, aws):
        plan = aws.plan()
        aws.provision(plan)
        aws.status, aws.allocated = "FAILED", 0

        assert aws.check(plan).verdict is Verdict.FAILED
        aws.roll_back(plan)

        assert aws.requested is None


class TestVerify:
    def test_warm_invocations(self, aws):
        plan = aws.plan()
        change = aws.provision(plan)
        aws.serve(5, Invocations=10, ProvisionedConcurrencyInvocations=10)

        found = aws.verify(plan, change)

        assert found.verdict is Verdict.PASSED
        assert set(aws.calls) == declared("verify")

    def test_what_was_before_the_change_does_not_count(self, aws):
        plan = aws.plan()
        aws.serve(5, Invocations=10, ProvisionedConcurrencyInvocations=10)
        change = aws.provision(plan)

        assert aws.verify(plan, change).verdict is Verdict.PENDING
        assert aws.verify(plan, change, LAST).verdict is Verdict.INCONCLUSIVE

    def test_spillover_fails_at_the_last_look(self, aws):
        plan = aws.plan()
        change = aws.provision(plan)
        aws.serve(
            5,
            Invocations=10,
            ProvisionedConcurrencyInvocations=6,
            ProvisionedConcurrencySpilloverInvocations=4,
        )

        assert aws.verify(plan, change, LAST).verdict is Verdict.FAILED

    def test_allocation_that_broke_meanwhile_is_not_measured(self, aws):
        plan = aws.plan()
        change = aws.provision(plan)
        aws.status, aws.allocated = "FAILED", 0

        assert aws.verify(plan, change).verdict is Verdict.FAILED
        assert aws.calls == ["lambda:GetProvisionedConcurrencyConfig"]

    def test_an_undo_is_proven_by_what_is_there(self, aws):
        plan = aws.plan()
        back = Plan(
            decision=plan.decision, reason="", calls=[call.inverse() for call in plan.calls]
        )

        assert aws.verify(back, None, kind=Kind.UNDO).verdict is Verdict.PASSED

    def test_the_hold_watch_looks_at_its_own_interval(self, aws):
        plan = aws.plan()
        change = aws.provision(plan)
        aws.serve(5, Invocations=10, ProvisionedConcurrencyInvocations=10)

        found = steps.watch_hold(
            run=RUN,
            plan=plan,
            change=change,
            clock=aws.clock,
            platform=PLATFORM,
            concurrency=aws.concurrency,
            metrics=Metrics(aws._clients["cloudwatch"]),
        )

        assert found.verdict is Verdict.PASSED


class TestWayBack:
    @pytest.mark.parametrize("before", [None, 1])
    def test_restores_what_was_there(self, aws, before):
        aws.requested = before
        plan = aws.plan()
        aws.provision(plan)

        aws.roll_back(plan)

        assert aws.requested == before

    def test_calls_are_those_declared(self, aws):
        made: set[str] = set()
        for before in (None, 1):
            aws.requested = before
            plan = aws.plan()
            aws.provision(plan)
            aws.calls.clear()
            aws.roll_back(plan)
            made |= set(aws.calls)

        assert made == declared("roll_back")

    def test_never_touches_what_someone_else_set_since(self, aws):
        plan = aws.plan()
        aws.provision(plan)
        aws.requested = 9

        with pytest.raises(RollbackFailedError):
            aws.roll_back(plan)

        assert aws.requested == 9

    def test_a_higher_number_needs_room(self, aws):
        aws.requested = 950
        plan = aws.plan(2)
        back = dataclasses.replace(plan, calls=[call.inverse() for call in plan.calls])
        aws.calls.clear()

        with pytest.raises(PrerequisiteNotMetError) as caught:
            steps.check_undo(run=RUN, plan=back, concurrency=aws.concurrency)

        assert "would leave 50, and 100 must stay" in str(caught.value)
        assert set(aws.calls) == declared("check_undo")

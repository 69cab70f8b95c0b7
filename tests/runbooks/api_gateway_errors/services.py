"""API Gateway, CloudWatch, Lambda and CloudFormation as api_gateway_errors sees them.

Answers at the boto3 boundary: moto knows neither canaries, nor UpdateStage of HTTP APIs, nor
statistics other than those it computes. What is asked and answered goes through botocore's models.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

REST_ARN = "arn:aws:apigateway:us-east-1::/restapis/a1b2/stages/prod"
HTTP_ARN = "arn:aws:apigateway:us-east-1::/apis/h1t2/stages/prod"
FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:chat"
STACK_ARN = "arn:aws:cloudformation:us-east-1:123456789012:stack/AppStack/1"
APIS = [
    {"api_name": "chat-api", "api_id": "a1b2", "stage": "prod"},
    {"api_name": "http-api", "api_id": "h1t2", "stage": "prod", "protocol": "HTTP"},
]
PLATFORM = {
    "apis": APIS,
    "functions": [{"function_name": "chat", "alias": "live"}],
    "tables": [{"table_name": "orders"}],
    "stacks": [{"stack_name": "AppStack"}],
}
REST = (("ApiName", "chat-api"), ("Stage", "prod"))
HTTP = (("ApiId", "h1t2"), ("Stage", "prod"))
CHAT = (("FunctionName", "chat"), ("Resource", "chat:live"))
ORDERS = (("TableName", "orders"),)
MINUTE = timedelta(minutes=1)
Answer = dict[str, Any]


class Services:
    """One stage of each kind, one function, one stack, and the metrics that a test puts.

    Attributes
    ----------
    calls
        IAM actions of the calls that were made.
    broken
        Error code by `service:Operation`.
    """

    def __init__(self, client: Callable[[str], Any]) -> None:
        self.rest: Answer = {"deploymentId": "new", "stageName": "prod"}
        self.http: Answer = {"DeploymentId": "new", "StageName": "prod", "AutoDeploy": False}
        self.deployments: dict[str, datetime] = {}
        self.version = "7"
        self.weights: dict[str, float] = {}
        self.status: str | None = None
        self.status_at: datetime | None = None
        self.calls: list[str] = []
        self.broken: dict[str, str] = {}
        self._values: dict[tuple[str, Any], dict[datetime, float]] = {}
        self._operations: Mapping[str, Callable[[Answer], Answer]] = {
            "apigateway:GetStage": lambda _: self.rest,
            "apigateway:GetDeployment": lambda a: {
                "id": a["deploymentId"],
                "createdDate": self._made("apigateway", a["deploymentId"]),
            },
            "apigateway:UpdateStage": self._patch,
            "apigatewayv2:GetStage": lambda _: self.http,
            "apigatewayv2:GetDeployment": lambda a: {
                "DeploymentId": a["DeploymentId"],
                "CreatedDate": self._made("apigatewayv2", a["DeploymentId"]),
            },
            "apigatewayv2:UpdateStage": self._update,
            "cloudformation:DescribeStackEvents": lambda _: {"StackEvents": self._events()},
            "cloudwatch:GetMetricData": self._metric_data,
            # What the life of every run asks of CloudWatch.
            "cloudwatch:DescribeAlarms": lambda _: {"MetricAlarms": []},
            "cloudwatch:SetAlarmState": lambda _: {},
            "lambda:GetAlias": lambda _: {
                "AliasArn": f"{FUNCTION_ARN}:live",
                "FunctionVersion": self.version,
                "RoutingConfig": {"AdditionalVersionWeights": self.weights},
                "RevisionId": "r1",
            },
        }
        for service in {name.partition(":")[0] for name in self._operations}:
            events = client(service).meta.events
            # The request is not understood again: what the client was given is kept for it.
            events.register("provide-client-params", self._keep)
            events.register("before-call", self._answer)

    # --- what a test arranges ---

    def put(self, name: str, dimensions: Any, values: Mapping[datetime, float]) -> None:
        self._values.setdefault((name, dimensions), {}).update(values)

    def requests(
        self, minutes: list[datetime], *, count: float = 100, failed: float = 0, api: Any = REST
    ) -> None:
        self.put("Count", api, dict.fromkeys(minutes, count))
        self.put("5XXError" if api is REST else "5xx", api, dict.fromkeys(minutes, failed))

    def invocations(self, minutes: list[datetime], *, count: float, failed: float) -> None:
        self.put("Invocations", CHAT, dict.fromkeys(minutes, count))
        self.put("Errors", CHAT, dict.fromkeys(minutes, failed))

    def canary(self, **overrides: Any) -> None:
        self.rest["canarySettings"] = {
            "deploymentId": "canary",
            "percentTraffic": 30.0,
            "useStageCache": False,
            **overrides,
        }

    # --- answers ---

    def _keep(self, params: Answer, context: Answer, **_: Any) -> None:
        context["given"] = params

    def _answer(self, model: Any, params: Answer, context: Answer, **_: Any) -> Any:
        service = model.service_model.service_name
        operation = f"{service}:{model.name}"
        gateway = service.startswith("apigateway")
        self.calls.append(f"apigateway:{params['method']}" if gateway else operation)
        if operation in self.broken:
            raise _error(self.broken[operation], model.name)
        return SimpleNamespace(status_code=200), self._operations[operation](context["given"])

    def _made(self, service: str, deployment_id: str) -> datetime:
        if deployment_id not in self.deployments:
            raise _error("NotFoundException", f"{service}.GetDeployment")
        return self.deployments[deployment_id]

    def _patch(self, given: Answer) -> Answer:
        for patch in given["patchOperations"]:
            *outer, key = patch["path"].strip("/").split("/")
            holder = self.rest.setdefault(outer[0], {}) if outer else self.rest
            if patch["op"] == "remove":
                del holder[key]
            else:
                holder[key] = patch["value"]
        return self.rest

    def _update(self, given: Answer) -> Answer:
        if self.http["AutoDeploy"]:
            raise _error("BadRequestException", "UpdateStage")
        self.http["DeploymentId"] = given["DeploymentId"]
        return self.http

    def _events(self) -> list[Answer]:
        if self.status is None:
            return []
        return [
            {
                "StackId": STACK_ARN,
                "EventId": "1",
                "StackName": "AppStack",
                "PhysicalResourceId": STACK_ARN,
                "ResourceType": "AWS::CloudFormation::Stack",
                "ResourceStatus": self.status,
                "Timestamp": self.status_at,
            }
        ]

    def _metric_data(self, given: Answer) -> Answer:
        results = []
        for query in given["MetricDataQueries"]:
            stat = query["MetricStat"]
            metric = stat["Metric"]
            # `Count` is one per request: its Sum says the same on AWS, but nobody promises that.
            expected = "SampleCount" if metric["MetricName"] == "Count" else "Sum"
            assert stat["Stat"] == expected, metric
            dimensions = tuple((d["Name"], d["Value"]) for d in metric["Dimensions"])
            series = self._values.get((metric["MetricName"], dimensions), {})
            inside = {t: v for t, v in series.items() if given["StartTime"] <= t < given["EndTime"]}
            results.append(
                {
                    "Id": query["Id"],
                    "Timestamps": list(inside),
                    "Values": list(inside.values()),
                    "StatusCode": "Complete",
                }
            )
        return {"MetricDataResults": results}


def _error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "why"}}, operation)

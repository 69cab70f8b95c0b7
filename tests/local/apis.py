"""REST and HTTP APIs in front of a function, for the contract tests of API Gateway."""

import urllib.error
import urllib.request
from typing import Any

from tests.local.workbench import Workbench, arn


class RestApi:
    """A REST API whose `GET /` (and below, if greedy) is a Lambda proxy integration."""

    def __init__(self, bench: Workbench, name: str, function_arn: str) -> None:
        self.api = bench.client("apigateway")
        self.identifier = self.api.create_rest_api(name=name)["id"]
        root = self.api.get_resources(restApiId=self.identifier)["items"][0]["id"]
        proxy = self.api.create_resource(
            restApiId=self.identifier, parentId=root, pathPart="{proxy+}"
        )["id"]
        self._where = {"restApiId": self.identifier, "resourceId": proxy, "httpMethod": "ANY"}
        self.api.put_method(**self._where, authorizationType="NONE")
        self.integrate(function_arn)

    def integrate(self, function_arn: str) -> None:
        invocation = f"path/2015-03-31/functions/{function_arn}/invocations"
        self.api.put_integration(
            **self._where,
            type="AWS_PROXY",
            integrationHttpMethod="POST",
            uri=arn("apigateway", invocation).replace(":000000000000:path", ":lambda:path"),
        )

    def deploy(self, **fields: Any) -> str:
        return self.api.create_deployment(restApiId=self.identifier, **fields)["id"]

    def stage(self) -> dict[str, Any]:
        return self.api.get_stage(restApiId=self.identifier, stageName="prod")

    def patch(self, **operation: str) -> None:
        self.api.update_stage(
            restApiId=self.identifier, stageName="prod", patchOperations=[operation]
        )

    def get(self, path: str = "any") -> tuple[int, str]:
        base = f"{self.api.meta.endpoint_url}/restapis/{self.identifier}/prod/_user_request_"
        return get(f"{base}/{path}")


def http_api(bench: Workbench, name: str, function_arn: str) -> tuple[str, str]:
    """Make an HTTP API in front of a function; return its id and the address of its stage."""
    api = bench.client("apigatewayv2")
    identifier = api.create_api(Name=name, ProtocolType="HTTP")["ApiId"]
    integration = api.create_integration(
        ApiId=identifier,
        IntegrationType="AWS_PROXY",
        IntegrationUri=function_arn,
        PayloadFormatVersion="2.0",
    )["IntegrationId"]
    api.create_route(ApiId=identifier, RouteKey="$default", Target=f"integrations/{integration}")
    api.create_stage(ApiId=identifier, StageName="prod", AutoDeploy=True)
    return identifier, f"{api.meta.endpoint_url}/_aws/execute-api/{identifier}/prod"


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()

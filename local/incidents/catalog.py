"""The incidents of the demo, in the order it shows them."""

from __future__ import annotations

from local.incidents.bad_lambda_release import BadLambdaRelease
from local.incidents.bad_stage_deployment import BadStageDeployment
from local.incidents.incident import Incident
from local.incidents.throttled_table import ThrottledTable

INCIDENTS: tuple[type[Incident], ...] = (ThrottledTable, BadLambdaRelease, BadStageDeployment)

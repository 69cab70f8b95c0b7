"""Lambda entry points of `api_gateway_errors`, one per privilege."""

from lambdas.remediation.runtime import lambda_handler
from lambdas.remediation.step import Role
from lambdas.runbooks.api_gateway_errors import steps
from lambdas.runbooks.api_gateway_errors.runbook import RUNBOOK

observe = lambda_handler(RUNBOOK, steps, Role.OBSERVE)
change = lambda_handler(RUNBOOK, steps, Role.CHANGE)

"""Lambda entry points of `optimize_dynamodb_queries`, one per privilege."""

from lambdas.remediation.runtime import lambda_handler
from lambdas.remediation.step import Role
from lambdas.runbooks.optimize_dynamodb_queries import steps
from lambdas.runbooks.optimize_dynamodb_queries.runbook import RUNBOOK

observe = lambda_handler(RUNBOOK, steps, Role.OBSERVE)
change = lambda_handler(RUNBOOK, steps, Role.CHANGE)

"""Lambda entry points of `dynamodb_throttling`, one per privilege."""

from lambdas.remediation.runtime import lambda_handler
from lambdas.remediation.step import Role
from lambdas.runbooks.dynamodb_throttling import steps
from lambdas.runbooks.dynamodb_throttling.runbook import RUNBOOK

observe = lambda_handler(RUNBOOK, steps, Role.OBSERVE)
change = lambda_handler(RUNBOOK, steps, Role.CHANGE)

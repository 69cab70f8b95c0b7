"""Lambda entry points of `restore_dynamodb_table`, one per privilege."""

from lambdas.remediation.runtime import lambda_handler
from lambdas.remediation.step import Role
from lambdas.runbooks.restore_dynamodb_table import steps
from lambdas.runbooks.restore_dynamodb_table.runbook import RUNBOOK

observe = lambda_handler(RUNBOOK, steps, Role.OBSERVE)
change = lambda_handler(RUNBOOK, steps, Role.CHANGE)

"""Lambda entry points of `lambda_errors`, one per privilege."""

from lambdas.remediation.runtime import lambda_handler
from lambdas.remediation.step import Role
from lambdas.runbooks.lambda_errors import steps
from lambdas.runbooks.lambda_errors.runbook import RUNBOOK

observe = lambda_handler(RUNBOOK, steps, Role.OBSERVE)
change = lambda_handler(RUNBOOK, steps, Role.CHANGE)

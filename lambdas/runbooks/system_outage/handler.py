"""Lambda entry points of `system_outage`, one per privilege."""

from lambdas.remediation.runtime import lambda_handler
from lambdas.remediation.step import Role
from lambdas.runbooks.system_outage import steps
from lambdas.runbooks.system_outage.runbook import RUNBOOK

observe = lambda_handler(RUNBOOK, steps, Role.OBSERVE)
change = lambda_handler(RUNBOOK, steps, Role.CHANGE)

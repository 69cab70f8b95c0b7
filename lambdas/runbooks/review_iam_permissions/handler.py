"""Lambda entry points of `review_iam_permissions`, one per privilege."""

from lambdas.remediation.runtime import lambda_handler
from lambdas.remediation.step import Role
from lambdas.runbooks.review_iam_permissions import steps
from lambdas.runbooks.review_iam_permissions.runbook import RUNBOOK

observe = lambda_handler(RUNBOOK, steps, Role.OBSERVE)
change = lambda_handler(RUNBOOK, steps, Role.CHANGE)

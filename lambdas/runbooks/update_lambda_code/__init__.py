"""Runbook: release of new code of a Lambda function."""

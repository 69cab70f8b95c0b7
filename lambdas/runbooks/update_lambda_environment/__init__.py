"""Runbook: release of changed environment variables of a Lambda function."""

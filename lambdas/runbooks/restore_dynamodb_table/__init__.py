"""Runbook: restore a DynamoDB table."""

"""Runbook: DynamoDB throttling."""

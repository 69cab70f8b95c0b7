"""Runbook: DynamoDB export."""

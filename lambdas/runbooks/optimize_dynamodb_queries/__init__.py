"""Runbook: DynamoDB queries."""

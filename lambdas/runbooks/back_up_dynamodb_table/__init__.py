"""Runbook: DynamoDB backup."""

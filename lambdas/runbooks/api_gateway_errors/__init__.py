"""Runbook: API Gateway errors."""

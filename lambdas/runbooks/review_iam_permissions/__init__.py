"""Runbook: IAM permissions."""

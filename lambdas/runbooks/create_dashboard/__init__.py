"""Runbook: custom CloudWatch dashboard."""

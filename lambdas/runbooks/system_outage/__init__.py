"""Runbook: complete system outage."""

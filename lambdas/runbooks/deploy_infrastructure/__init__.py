"""Runbook: deploy infrastructure changes."""

"""Runbook: clean up old artifacts."""

"""Runbook: rotation of API keys."""

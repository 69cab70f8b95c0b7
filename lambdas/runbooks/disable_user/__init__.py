"""Runbook: disable user."""

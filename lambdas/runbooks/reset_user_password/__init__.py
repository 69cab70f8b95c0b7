"""Runbook: reset user password."""

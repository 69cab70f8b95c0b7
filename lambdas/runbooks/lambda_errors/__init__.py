"""Runbook: Lambda errors."""

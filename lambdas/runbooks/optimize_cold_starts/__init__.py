"""Runbook: Lambda cold starts."""

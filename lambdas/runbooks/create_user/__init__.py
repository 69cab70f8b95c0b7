"""Runbook: create user."""

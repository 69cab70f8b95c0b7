"""The platform the product protects locally: the one the operations runbook describes."""

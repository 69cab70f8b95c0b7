"""What every runbook shares: contracts, guard, life of a run, messages."""

"""What the engine tests of this runbook set in the platform file."""

# One table for all of them: each more makes the policies of every role longer.
TABLE, BUCKET = "Exported", "e2e-exports"
PLATFORM = {"tables": [{"table_name": TABLE, "export_bucket": BUCKET}]}
LIMITS = {"hold_checks": 0, "poll_attempts": 20, "cool_down_seconds": 0, "max_changes_per_hour": 20}

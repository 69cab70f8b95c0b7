"""What the engine tests of this runbook set in the platform file."""

BUCKET = "e2e-exports"
PLATFORM = {
    "tables": [{"table_name": f"Exported-{n}", "export_bucket": BUCKET} for n in range(5)],
}
LIMITS = {"hold_checks": 0, "poll_attempts": 20}

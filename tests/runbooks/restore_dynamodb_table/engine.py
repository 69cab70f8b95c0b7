"""What the engine tests of this runbook set in the platform file."""

TABLES = [f"Ledger-{n:02}" for n in range(10)]
PLATFORM = {
    "tables": [
        {"table_name": name, "indexes": ["by-owner"], "pointer_parameter": f"/shop/{name}"}
        for name in TABLES
    ]
}
LIMITS = {"hold_checks": 0, "poll_attempts": 5, "verify_attempts": 3}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = (
    "Restores that take long or fail.",
    "The recovery period of point-in-time recovery.",
)

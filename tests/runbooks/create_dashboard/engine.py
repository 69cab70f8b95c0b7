"""What the engine tests of this runbook set in the platform file."""

PLATFORM = {"dashboards": [{"dashboard_name": f"Orders-board-{n}"} for n in range(8)]}
# One dashboard a test, and the runs of a test follow each other at once.
LIMITS = {"hold_checks": 0, "cool_down_seconds": 0}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = ("Validation messages of PutDashboard: the engine has none.",)

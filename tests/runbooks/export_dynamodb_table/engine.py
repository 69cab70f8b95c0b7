"""What the engine tests of this runbook set in the platform file."""

# One table for all of them: each more makes the policies of every role longer.
TABLE, BUCKET = "Exported", "e2e-exports"
PLATFORM = {"tables": [{"table_name": TABLE, "export_bucket": BUCKET}]}
LIMITS = {"hold_checks": 0, "poll_attempts": 20, "cool_down_seconds": 0, "max_changes_per_hour": 20}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = (
    "Exports that fail or take long.",
    "What DynamoDB does in the caller's name in S3 and KMS: the engine does not check it, so "
    "it is tested in the policies only.",
)

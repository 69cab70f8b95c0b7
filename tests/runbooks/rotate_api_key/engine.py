"""What the engine tests of this runbook set in the platform file."""

READER = "key-reader"
PLAIN = "keys/plain"
# Each used by one test: a cool-down lies on a secret after a run.
SECRETS = [f"keys/{n:02}" for n in range(8)]

LIMITS = {
    "grace_seconds": 1,
    "poll_attempts": 6,
    "verify_window_seconds": 1,
    "verify_interval_seconds": 1,
    "hold_checks": 0,
}
PLATFORM = {
    "functions": [{"function_name": READER, "alias": "live", "smoke_event": {}}],
    "secrets": [
        {"secret_id": PLAIN},
        *({"secret_id": s, "key_field": "api_key", "consumers": [READER]} for s in SECRETS),
    ],
}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = ("Keys that IAM issues: the engine has no service-specific credentials.",)

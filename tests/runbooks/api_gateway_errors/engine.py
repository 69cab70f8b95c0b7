"""What the engine tests of this runbook set in the platform file."""

LIMITS = {"minimum_requests": 3, "verify_attempts": 4}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = (
    "Canaries, and HTTP APIs: the engine splits no traffic and drops an HTTP API's deployment.",
)

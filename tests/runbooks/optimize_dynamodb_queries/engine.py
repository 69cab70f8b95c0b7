"""What the engine tests of this runbook set in the platform file."""

LIMITS = {"hold_checks": 0, "poll_attempts": 10}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = ("The filling of an index, and the keys that Contributor Insights reports.",)

"""What the engine tests of this runbook set in the platform file."""

LIMITS = {"max_capacity_units": 400, "throttled_requests_per_period": 9}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = ("Hot keys by Contributor Insights, and account limits.",)

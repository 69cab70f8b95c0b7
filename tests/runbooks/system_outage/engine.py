"""What the engine tests of this runbook set in the platform file."""

LIMITS = {"minimum_requests": 3, "status_interval_seconds": 60}
# A stack that no other test deploys; the outage of the platform is named by it.
PLATFORM = {"stacks": [{"stack_name": "OrdersPlatform"}]}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = ("A first runbook that does not help, and the second one after it.",)

"""What the engine tests of this runbook set in the platform file."""

BUCKETS = [f"artifacts-{n:02}" for n in range(12)]
PREFIX = "renders/"
PLATFORM = {"buckets": [{"bucket_name": name, "prefixes": [PREFIX]} for name in BUCKETS]}
LIMITS = {"verify_attempts": 3, "max_expired_unasked": 5, "max_listed_pages": 1}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = ("Objects that are old, `ExpectedBucketOwner`, and buckets with MFA delete.",)

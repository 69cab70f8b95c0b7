"""The function that Secrets Manager calls to rotate a secret of the platform."""

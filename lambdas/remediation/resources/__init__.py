"""One module per AWS resource: the only callers of boto3 on the protected platform."""

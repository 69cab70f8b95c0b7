"""The CDK side: one stack, its parts, and the readers of what it is built from."""

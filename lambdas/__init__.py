"""Code that runs in Lambda. Imports no CDK."""

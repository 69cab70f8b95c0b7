"""What the demo and the local stack are made of: deploy, break, follow, report."""

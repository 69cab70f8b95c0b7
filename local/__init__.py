"""What runs the product without AWS: the embedded engine and metric math."""

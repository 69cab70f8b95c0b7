"""The incidents of the demo, one module each."""

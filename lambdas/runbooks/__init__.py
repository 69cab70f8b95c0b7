"""One folder per runbook. A runbook never imports another."""

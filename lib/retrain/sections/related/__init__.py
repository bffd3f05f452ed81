"""Where the runbook's links lead."""

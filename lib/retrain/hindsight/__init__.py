"""Past decisions: made again, made under another policy, and what a policy does in the long run."""

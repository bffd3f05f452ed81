"""retrain: the runbook that runs itself."""

__version__ = "0.2.0.dev0"

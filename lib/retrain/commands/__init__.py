"""The command line's larger groups, mounted by ``retrain.cli``."""

"""The command line: ``app`` has the everyday commands, and the larger groups are mounted there."""

"""What sections judge with: how figures are written, windows of metrics, the watch, what a figure proves. Pure."""

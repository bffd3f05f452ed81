"""What the cells do, step by step: one module for each notebook, between the adapters and the pure rules.

A step takes the run, asks the warehouse or the service, and returns a value that shows itself and fills the section's
facts. None of them decides anything.
"""

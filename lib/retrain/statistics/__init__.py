"""The arithmetic behind the decisions: drift (``psi``), intervals, and tests that may be looked at after every window.

Everything here is pure, and all of it but the bin builder for raw values is plain Python, so that a rule can be
imported and replayed in milliseconds. The tests hold it against scipy, statsmodels and exact fractions.
"""

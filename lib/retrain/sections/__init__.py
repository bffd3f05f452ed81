"""One room for each notebook: its facts, its policy, and the rule that turns both into a verdict.

Everything here is pure. ``decide(facts, policy)`` reads no clock, no network and no file, so that a past decision
can be replayed from its record and another policy can be held against all past facts.
"""

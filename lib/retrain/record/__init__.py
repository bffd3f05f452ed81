"""A run and its record: opened, joined, supervised, approved, closed, and read again."""

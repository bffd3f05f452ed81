"""Processes that are killed at every boundary: what stands in the record afterwards must be true, and sent once.

``kill_matrix`` and ``torn_files`` are commands (``python -m crash.kill_matrix`` with ``tests`` on the path); a slice of
each runs among the tests. ``faulty_service``, ``boundaries``, ``lives``, ``cases`` and ``judging`` are their parts.
"""

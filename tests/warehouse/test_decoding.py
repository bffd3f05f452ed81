"""Answers that arrive at the same moment are decoded one after the other.

The connector's decoder sets itself up with ``std::call_once`` while it holds the interpreter; two threads in their
first answers stop each other for ever, and with them the whole process.
"""

import json
import sys
from pathlib import Path

import hung

LIB = Path(__file__).parents[2] / "lib"
TOGETHER = """
import json, sys, threading
from retrain.warehouse.connection import Connections
from snowflake.connector.cursor import SnowflakeCursor

sys.setswitchinterval(1e-6)
arguments, together, execute = json.loads(sys.argv[1]), threading.Barrier(4), SnowflakeCursor.execute


def executed(cursor, *given, **named):
    told = execute(cursor, *given, **named)
    together.wait()  # all four have their answers; none has decoded one
    return told


SnowflakeCursor.execute = executed
held, found = Connections(arguments, statement_timeout_seconds=30), []
ask = lambda: found.append(held.fetch("SELECT 1.5 AS A, 'x' AS B, 2 AS C", [], tag={}).rows)
threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(found), flush=True)
"""


def test_four_first_answers_at_once(arguments):
    """In a process that has decoded nothing yet."""
    command = [sys.executable, "-c", TOGETHER, json.dumps(arguments)]
    for _ in range(3):
        told = hung.run(command, seconds=60, environment={"PYTHONPATH": str(LIB)}, folder=LIB)
        assert (told.returncode, told.stdout, told.stderr) == (0, "4\n", "")

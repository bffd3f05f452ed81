"""`retrain …`: the process around a command. It exits with the command's code; an error of retrain's is one message.

Where notebooks will run, another process begins to import what their kernels need before this one imports the commands.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from typing import NoReturn

from retrain.errors import RetrainError

__all__ = ["main"]

_RUNS_NOTEBOOKS = ("run", "step", "rollback")


def main() -> None:
    """Run the command line; every error of retrain's is one message and its exit code."""
    gc.set_threshold(50_000)  # what is imported lives as long as the process: looking through it takes a tenth of a run
    atexit.register(gc.freeze)  # nor is there anything to tidy up at its end, which takes a quarter of a second
    asked = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if asked in _RUNS_NOTEBOOKS:
        _warm_up()
    else:  # to look for plugins is a tenth of what a list of runs takes; kernels, which may have them, are not started
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from retrain.commands.app import app, mount_sandbox

    mount_sandbox(asked)
    try:
        app(standalone_mode=True)
    except RetrainError as error:
        _refuse(error)
    except OSError as error:  # a full disk, say, where nothing else tells of it
        _refuse(RetrainError(f"{error.filename or 'a file'}: {error.strerror or error}"))


def _refuse(error: RetrainError) -> NoReturn:
    """Print the one message and exit with the error's code."""
    if "--json" in sys.argv:
        from retrain.commands.app import print_json

        print_json(
            {
                "outcome": _outcome(error),
                "error": type(error).__name__,
                "message": str(error),
                "exit_code": error.exit_code,
            }
        )
    sys.stderr.write(f"retrain: {error}\n")
    sys.exit(error.exit_code)


def _outcome(error: RetrainError) -> str:
    """Return the word for an error that came before a run was opened, by its exit code."""
    from retrain.runbook import EXIT_CODES

    return next((word for word, code in EXIT_CODES.items() if code == error.exit_code), "error")


def _warm_up() -> None:
    """Start importing what the kernels need, beside everything else that comes before the first of them."""
    from retrain.engine.zygotes import prestart

    prestart(stack=False)


if __name__ == "__main__":
    main()

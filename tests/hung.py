"""Commands of the tests, each with a time limit: what still runs then tells where it stands, and is ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

__all__ = ["HungError", "run"]

_LAST_WORDS_SECONDS = 5.0


class HungError(AssertionError):
    """A command did not end in its time; the message has the stack of every thread of its processes."""


def run(
    command: Sequence[str], *, seconds: float, environment: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` in ``folder`` and return what it said; HungError where it takes longer than so many seconds."""
    given = {**os.environ, "PYTHONFAULTHANDLER": "1", **environment}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=given, cwd=folder, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            out, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            stacks = _stacks(process)
            raise HungError(f"{' '.join(command)} did not end within {seconds:g} s\n{stacks}") from None
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, said)


def _stacks(process: subprocess.Popen[str]) -> str:
    """Have the process and its children tell their stacks, the youngest first, and end them."""
    mother = psutil.Process(process.pid)
    family = [*mother.children(recursive=True)[::-1], mother]
    told = [f"{one.pid}: {' '.join(one.cmdline())}" for one in family if one.is_running()]
    _signal(family, signal.SIGSTOP)  # so that none goes on because another ended
    for one in family:
        _signal([one], signal.SIGABRT)
        _signal([one], signal.SIGCONT)
        _await_end(one)
        _signal([one], signal.SIGKILL)
    _, said = process.communicate(timeout=_LAST_WORDS_SECONDS)
    return "\n".join([*told, said])


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(number)


def _await_end(one: psutil.Process) -> None:
    deadline = time.monotonic() + _LAST_WORDS_SECONDS
    with contextlib.suppress(psutil.NoSuchProcess):
        while one.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.02)

"""The process that has imported everything, so that a kernel is a fork of it.

Started as ``python -m retrain.engine.zygote FD PID LEASH``. It starts no thread, no event loop, no ZeroMQ context and
opens no connection; it only imports, waits and forks. Over the socket ``FD`` come one-byte requests, each with four
descriptors: a memory file with the request (JSON: argv, env, cwd), a socket of its own for the answers, the kernel's
stdout and its stderr. Answers: ``pid N`` with a pidfd, ``ready`` from the kernel itself, ``exit N``; or ``error …``.
When the process that started it dies or hangs up, its kernels die too.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retrain.engine import lean, stand_in

__all__ = ["MODULES", "main", "preload", "receive", "send"]

_PR_SET_PDEATHSIG = 1

MODULES = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.debugger",
    "IPython.core.completer",
    "IPython.core.history",
    "IPython.core.magics",
    "IPython.display",
    "pandas",
    "pyarrow",
    "snowflake.connector",
    "snowflake.connector.pandas_tools",
    "httpx",
    "pydantic",
    "matplotlib.pyplot",
    "matplotlib.backends.backend_agg",
    "scrapbook",
    "retrain.notebook",
)


class _Zygote:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._parent = os.pidfd_open(os.getppid())
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(self._parent, select.POLLIN)
        self._kernels: dict[int, tuple[int, socket.socket]] = {}

    def serve(self) -> None:
        """Fork on request and tell of every end, until the other side is gone."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._kernels:
                    self._reap(descriptor)
                elif descriptor == self._parent or not self._take():
                    self._kill_all()
                    return

    def _take(self) -> bool:
        data, descriptors = receive(self._control, 4)
        if not data:
            return False
        body, answers, *streams = descriptors
        with os.fdopen(body, encoding="utf-8") as file:
            file.seek(0)
            request = json.load(file)
        self._fork(request, socket.socket(fileno=answers), streams)
        for stream in streams:
            os.close(stream)
        return True

    def _fork(self, request: dict[str, Any], answer: socket.socket, streams: list[int]) -> None:
        try:
            pid = _fork_process()
        except OSError as error:
            with contextlib.suppress(OSError), answer:
                answer.send(f"error {error}".encode())
            return
        if pid == 0:
            self._become_kernel(request, answer, streams)
        pidfd = os.pidfd_open(pid)  # not reaped before this process does it, so this is the kernel and no other
        self._kernels[pidfd] = (pid, answer)
        self._poll.register(pidfd, select.POLLIN)
        with contextlib.suppress(OSError):  # nobody waits for it any more; the kernel notices that itself
            send(answer, f"pid {pid}".encode(), [pidfd])

    def _become_kernel(self, request: dict[str, Any], answer: socket.socket, streams: list[int]) -> None:
        from retrain.engine import forked

        self._control.close()
        os.close(self._parent)
        for pidfd, (_, sibling) in self._kernels.items():
            os.close(pidfd)
            sibling.close()
        forked.run(request, answer, streams)

    def _reap(self, pidfd: int) -> None:
        pid, answer = self._kernels.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError), answer:
            answer.send(f"exit {os.waitstatus_to_exitcode(status)}".encode())

    def _kill_all(self) -> None:
        for pid, _ in self._kernels.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def _fork_process() -> int:
    with warnings.catch_warnings():
        # Python ≥ 3.12 counts native threads. The only ones here are OpenBLAS's and an allocator's, which take care of
        # forks themselves; that there is no thread of Python's own was checked after the imports.
        warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork.*", category=DeprecationWarning)
        return os.fork()


def send(channel: socket.socket, data: bytes, descriptors: Sequence[int]) -> None:
    """Send ``data`` with ``descriptors`` as one message."""
    channel.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])


def receive(channel: socket.socket, count: int) -> tuple[bytes, list[int]]:
    """Receive one message with up to ``count`` descriptors; no data: the other side hung up."""
    descriptors = array.array("i")
    flags = socket.MSG_CMSG_CLOEXEC
    data, ancillary, _, _ = channel.recvmsg(4096, socket.CMSG_SPACE(count * descriptors.itemsize), flags)
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return data, list(descriptors)


def preload(modules: Sequence[str]) -> None:
    """Import what is installed of ``modules``; whatever else goes wrong in an import propagates."""
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # what a kernel sets, but too late
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # or the debugger warns on importing it
    gc.disable()
    with stand_in.shell():
        lean.import_jsonschema()
        for name in modules:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name is None or not name.startswith(error.name):
                    raise
    if threading.active_count() != 1:
        names = ", ".join(thread.name for thread in threading.enumerate())
        raise RuntimeError(f"an import started a thread ({names}): a fork of this process would not be safe")
    gc.enable()
    gc.collect()
    gc.freeze()  # so that no collection in a kernel touches, and thereby copies, what all of them share


def main(descriptor: int, parent: int, *, leash: bool) -> None:
    """Serve the process ``parent`` until it is gone; on a ``leash`` this one dies with it even while importing."""
    if leash:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    sys.path[:] = [entry for entry in sys.path if entry not in {"", str(Path.cwd())}]  # as ipykernel's launcher does
    zygote = _Zygote(socket.socket(fileno=descriptor))
    preload(MODULES)
    zygote.serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), leash=sys.argv[3] == "leash")
    os._exit(0)  # what it imported has nothing to tidy up: the kernels did

"""The process that has imported everything, so that a kernel is a fork of it.

Started as ``python -m retrain.engine.zygote FD PID LEASH EXTENT``. It starts no thread, no event loop, no ZeroMQ
context and opens no connection; it only imports, waits and forks. ``EXTENT`` is ``runbook`` or ``stack``. For the
runbook, what the first cells do without is imported last; it answers between two such modules, and a kernel forked so
early imports itself what it wants of the rest, or has it done by an errand.

Over the socket ``FD`` come one-byte requests. ``k`` asks for a kernel, ``e`` for an errand: a function called in a
fork, which is had early, while the imports go on. Either has four descriptors: a memory file with the request (JSON:
env, cwd, and argv or target and body), a socket of its own, stdout and stderr. A kernel's socket tells ``pid N`` with a
pidfd, ``ready`` from the kernel itself, ``exit N``; or ``error …``. A kernel that is ``held`` waits for ``go`` with its
environment then. An errand's socket is the errand's own; the runbook's kernels can ask for errands too. When the
process that started it dies or hangs up, its kernels and errands die too.
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
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retrain.engine import forked, lean, stand_in

__all__ = ["ERRANDS", "LATER", "RUNBOOK", "STACK", "main", "preload", "read", "receive", "send"]

_PR_SET_PDEATHSIG = 1

ERRANDS = ("retrain.warehouse.driver", "retrain.warehouse.heads")
"""What errands need. None is begun before: it would import the same."""

RUNBOOK = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.debugger",
    "pdb",
    "IPython.core.debugger",
    "IPython.core.completer",
    "IPython.core.history",
    "IPython.core.magics",
    "IPython.display",
    "retrain.notebook",
    "retrain.steps.when_to_retrain",
    "croniter",
)
"""What a kernel and the first of the runbook's notebooks need. No kernel is forked before: it would import the same."""

LATER = (
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "retrain.service.client",
    "retrain.acts",
)
"""What draws, and what the runbook's notebooks need where something is to be done."""

STACK = (
    "pandas",
    "pyarrow",
    "snowflake.connector.pandas_tools",
    "pydantic",
    "matplotlib.pyplot",
    "scrapbook",
)
"""What other people's notebooks need as well."""


class _Zygote:
    def __init__(self, control: socket.socket, *, later: Sequence[str] = ()) -> None:
        self._control = control
        self._later = later
        self._held: list[tuple[dict[str, Any], socket.socket, list[int]]] | None = []
        self._parent = os.pidfd_open(os.getppid())
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(self._parent, select.POLLIN)
        self._children: dict[int, tuple[int, socket.socket | None]] = {}
        self._askers: dict[int, socket.socket] = {}  # the ends of kernels that may ask for errands
        self._unsafe = ""

    def begin(self) -> None:
        """Fork the kernels that were asked for so far, and any other as soon as it is asked for."""
        held, self._held = self._held or [], None
        for request in held:
            self._fork(*request)

    def prepare(self, modules: Sequence[str]) -> bool:
        """Import ``modules``, answering between two of them whoever waits; return False once the other side is gone.

        After an import that fails, or starts a thread, nothing more is imported and no kernel is forked: whoever asks
        is told so, and starts one the standard way. The kernels that live go on.
        """
        for name in modules:
            if not self.answer(0):
                return False
            try:
                preload((name,))
            except Exception:  # noqa: BLE001 - somebody else's module; the kernels that live must not die of it
                traceback.print_exc()
                self._unsafe = f"{name} could not be imported"
                break
        return True

    def serve(self) -> None:
        """Import what comes later, then fork on request and tell of every end, until the other side is gone."""
        alive = self.prepare(self._later)
        while alive:
            alive = self.answer(None)

    def answer(self, milliseconds: int | None) -> bool:
        """Take what has come within that time (None: wait for it); return False once the other side is gone."""
        for descriptor, _ in self._poll.poll(milliseconds):
            if descriptor in self._children:
                self._reap(descriptor)
            elif descriptor in self._askers:
                self._take_from_kernel(descriptor)
            elif descriptor == self._parent or not self._take():
                self._kill_all()
                return False
        return True

    def _take(self) -> bool:
        kind, descriptors = receive(self._control, 4)
        if not kind:
            return False
        body, own, *streams = descriptors
        request, channel = read(body), socket.socket(fileno=own)
        if kind == b"e":
            self._fork_errand(request, channel, streams)
        elif self._held is not None:
            self._held.append((request, channel, streams))
        else:
            self._fork(request, channel, streams)
        return True

    def _take_from_kernel(self, descriptor: int) -> None:
        try:
            kind, descriptors = receive(self._askers[descriptor], 4)
        except OSError:
            kind, descriptors = b"", []
        if kind == b"e" and len(descriptors) == 4:
            body, own, *streams = descriptors
            with contextlib.suppress(ValueError, OSError):
                self._fork_errand(read(body), socket.socket(fileno=own), streams)
                return
            descriptors = [own, *streams]  # what it asked for cannot be read
        for each in descriptors:
            os.close(each)
        self._poll.unregister(descriptor)  # it has ended, or its notebook plays with the socket
        self._askers.pop(descriptor).close()

    def _fork(self, request: dict[str, Any], answer: socket.socket, streams: list[int]) -> None:
        try:
            if self._unsafe:
                raise OSError(self._unsafe)
            self._fork_kernel(request, answer, streams)
        except OSError as error:
            with contextlib.suppress(OSError), answer:
                answer.send(f"error {error}".encode())
        for stream in streams:
            os.close(stream)

    def _fork_kernel(self, request: dict[str, Any], answer: socket.socket, streams: list[int]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                pid = _fork_process()
            except OSError:
                ours.close()
                raise
            if pid == 0:
                self._leave_zygote()
                ours.close()
                if not self._later:  # somebody else's notebook, which shall find what it finds in a standard kernel
                    theirs.close()
                forked.run(request, answer, streams, errands=theirs if self._later else None)
        self._askers[ours.fileno()] = ours
        self._poll.register(ours, select.POLLIN)
        pidfd = self._watch(pid, answer)
        with contextlib.suppress(OSError):  # nobody waits for it any more; the kernel notices that itself
            send(answer, f"pid {pid}".encode(), [pidfd])

    def _fork_errand(self, request: dict[str, Any], channel: socket.socket, streams: list[int]) -> None:
        """Fork, or hang up: whoever asked does the errand then."""
        with channel, contextlib.suppress(OSError):
            pid = -1 if self._unsafe else _fork_process()
            if pid == 0:
                self._leave_zygote()
                forked.run_errand(request, channel, streams)
            if pid > 0:
                self._watch(pid, None)
        for stream in streams:
            os.close(stream)

    def _watch(self, pid: int, answer: socket.socket | None) -> int:
        pidfd = os.pidfd_open(pid)  # not reaped before this process does it, so this is the child and no other
        self._children[pidfd] = (pid, answer)
        self._poll.register(pidfd, select.POLLIN)
        return pidfd

    def _leave_zygote(self) -> None:
        """In a fork: let go of what is the zygote's."""
        self._control.close()
        os.close(self._parent)
        for asker in self._askers.values():
            asker.close()
        for pidfd, (_, sibling) in self._children.items():
            os.close(pidfd)
            if sibling is not None:
                sibling.close()
        for _, sibling, streams in self._held or ():
            sibling.close()
            for stream in streams:
                os.close(stream)

    def _reap(self, pidfd: int) -> None:
        pid, answer = self._children.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        if answer is not None:
            with contextlib.suppress(OSError), answer:
                answer.send(f"exit {os.waitstatus_to_exitcode(status)}".encode())

    def _kill_all(self) -> None:
        for pid, _ in self._children.values():
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


def read(descriptor: int) -> dict[str, Any]:
    """Return what stands in a file in memory that came with a message."""
    with os.fdopen(descriptor, encoding="utf-8") as file:
        file.seek(0)
        told: dict[str, Any] = json.load(file)
    return told


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
        for name in modules:
            if name == "scrapbook":  # it takes nbformat along, and that jsonschema
                lean.import_jsonschema()
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name is None or not name.startswith(error.name):
                    raise
    if threading.active_count() != 1:
        names = ", ".join(thread.name for thread in threading.enumerate())
        raise RuntimeError(f"an import started a thread ({names}): a fork of this process would not be safe")
    gc.freeze()  # so that no collection in a kernel touches, and thereby copies, what all of them share
    gc.enable()


def main(descriptor: int, parent: int, *, leash: bool, first: Sequence[str], later: Sequence[str] = ()) -> None:
    """Import what is needed at once, then ``later``, and serve the process ``parent`` until it is gone.

    On a ``leash`` this process dies with it even while importing.
    """
    if leash:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    sys.path[:] = [entry for entry in sys.path if entry not in {"", str(Path.cwd())}]  # as ipykernel's launcher does
    zygote = _Zygote(socket.socket(fileno=descriptor), later=later)
    preload(ERRANDS)
    for name in first:
        if not zygote.answer(0):
            return
        preload((name,))
    zygote.begin()
    zygote.serve()


if __name__ == "__main__":
    extents = {"runbook": (RUNBOOK, LATER), "stack": (RUNBOOK + LATER + STACK, ())}
    wanted, spare = extents[sys.argv[4]]
    if sys.argv[4] == "runbook":  # nobody sets breakpoints in a run, and the debugger is a tenth of what is imported
        sys.modules["debugpy"] = None  # type: ignore[assignment] # which makes importing it an ImportError
    main(int(sys.argv[1]), int(sys.argv[2]), leash=sys.argv[3] == "leash", first=wanted, later=spare)
    os._exit(0)  # what it imported has nothing to tidy up: the kernels did

"""The runner's side of the zygote: start it, ask it for kernels and errands, hold on to each kernel by its pidfd."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

__all__ = [
    "ForkedKernel",
    "adopt",
    "answered",
    "close",
    "errand",
    "imports_alike",
    "inherit",
    "prestart",
    "request",
    "supported",
]

# Read by libraries while they are imported: a kernel that wants other values needs a zygote of its own.
_IMPORT_TIME = ("PYTHON", "LD_", "OMP_", "OPENBLAS_", "MKL_", "ARROW_", "MPL", "IPYTHON", "SNOWFLAKE_", "XDG_", "LC_")
_IMPORT_TIME_NAMES = {"HOME", "LANG", "PATH"}
_SET_BY_IMPORTS = {("ARROW_DEFAULT_MEMORY_POOL", "system")}  # by the connector's: here as in the zygote
_EXIT_SECONDS = 1.0

Key = tuple[tuple[str, str], ...]


class ForkedKernel:
    """A kernel that is somebody else's child, with the part of Popen's face that jupyter_client looks at."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, pidfd: int, answers: socket.socket) -> None:
        """Take the pid, a descriptor that is this process and no later one of that number, and the zygote's answers."""
        self.pid = pid
        self.pidfd = pidfd
        self.returncode: int | None = None
        self._answers = answers

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        if self.returncode is None and _ready(self.pidfd, 0):
            self.returncode = self._exit_code()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; TimeoutExpired after so many seconds."""
        if self.returncode is None and not _ready(self.pidfd, timeout):
            raise subprocess.TimeoutExpired(["a forked kernel"], timeout or 0)
        code = self.poll()
        return -signal.SIGKILL if code is None else code

    def send_signal(self, number: int) -> None:
        """Signal the process, unless it is gone."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def tell(self, what: Mapping[str, Any]) -> bool:
        """Tell a kernel that was held what it waits for; False where it is gone."""
        from retrain.engine.zygote import send

        try:
            with _file_of(what) as file:
                send(self._answers, b"go", [file.fileno()])
        except OSError:
            return False
        return True

    def _exit_code(self) -> int:
        """Return the code the zygote tells; when it does not, it is dead, and its kernels were killed with it."""
        while _ready(self._answers.fileno(), _EXIT_SECONDS):
            try:
                word, _, code = self._answers.recv(64).decode().partition(" ")
            except OSError:
                break
            if word == "exit":
                return int(code)
            if not word:
                break
        return -signal.SIGKILL

    def close(self) -> None:
        """Let go of the descriptors of a kernel that has ended; its exit code stays known."""
        if self.poll() is not None and self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
            self._answers.close()


class _Zygote:
    def __init__(self, environment: Mapping[str, str], *, stack: bool) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # The kernel sends the death signal when the *thread* that started a child ends: only the main one may.
            leash = "leash" if threading.current_thread() is threading.main_thread() else "free"
            told = [str(theirs.fileno()), str(os.getpid()), leash, "stack" if stack else "runbook"]
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, this package
                [sys.executable, "-m", "retrain.engine.zygote", *told],
                pass_fds=[theirs.fileno()],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def ask(self, kind: bytes, body: Mapping[str, Any], stdout: int, stderr: int) -> socket.socket:
        return _ask(self._control, kind, body, stdout, stderr)

    def exit_code(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        self._control.close()
        self._process.kill()  # it holds nothing that would have to be put away; its kernels die with it

    def wait(self) -> None:
        self._process.wait()


def _ask(control: socket.socket, kind: bytes, body: Mapping[str, Any], stdout: int, stderr: int) -> socket.socket:
    from retrain.engine.zygote import send

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, _file_of(body) as file:
        try:
            send(control, kind, [file.fileno(), theirs.fileno(), stdout, stderr])
        except OSError:
            ours.close()
            raise
    return ours


@contextlib.contextmanager
def _file_of(body: Mapping[str, Any]) -> Iterator[TextIO]:
    """Give ``body`` as a file in memory, which a message can take along whatever its size."""
    with os.fdopen(os.memfd_create("kernel-request"), "w+", encoding="utf-8") as file:
        json.dump(body, file)
        file.flush()
        yield file


_zygotes: dict[Key, _Zygote] = {}
_inherited: socket.socket | None = None
_broken: set[Key] = set()
_lock = threading.Lock()


def supported() -> bool:
    """Return whether kernels can be forked here: Linux, unless ``RETRAIN_WARM_KERNELS=off``."""
    return sys.platform == "linux" and os.environ.get("RETRAIN_WARM_KERNELS", "on") != "off"


def prestart(*, stack: bool = True) -> None:
    """Start the zygote for this process's environment now, so that its imports run beside what comes next.

    ``stack`` is False where nothing but the runbook's own notebooks will run: they do without pandas. Returns at once;
    a second call does nothing; where kernels cannot be forked neither does the first.
    """
    if supported():
        _zygote(os.environ, stack=stack)


def request(body: Mapping[str, Any], stdout: int, stderr: int) -> socket.socket | None:
    """Ask a zygote for a kernel; return the socket its answers come on, or None where none can be had."""
    for _ in range(2):  # a zygote that died is replaced once
        zygote = _zygote(body["env"])
        if zygote is None:
            return None
        try:
            return zygote.ask(b"k", body, stdout, stderr)
        except OSError:
            continue
    return None


def errand(target: str, body: Mapping[str, Any]) -> socket.socket | None:
    """Have ``target`` (module:function) called with ``body``, which is JSON, and a socket, in a fork of the zygote.

    Returns the other end, where each message comes as it was sent; it is closed when the function has ended, or could
    not be called. None where no zygote was started, here or by the runner of this kernel: none is for an errand.
    """
    zygote = _zygotes.get(_key(os.environ))
    asked = {"target": target, "body": body, "env": dict(os.environ), "cwd": str(Path.cwd())}
    try:
        if zygote is not None:
            return zygote.ask(b"e", asked, 1, 2)
        return None if _inherited is None else _ask(_inherited, b"e", asked, 1, 2)
    except OSError:
        return None


def inherit(channel: socket.socket) -> None:
    """In a kernel: take the socket by which it can have errands done."""
    global _inherited
    _inherited = channel


def imports_alike(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Return whether what is imported is the same in both environments."""
    return _key(one) == _key(other)


def answered(answers: socket.socket) -> bool:
    """Return whether the zygote has answered a request."""
    return _ready(answers.fileno(), 0)


def adopt(answers: socket.socket) -> ForkedKernel | None:
    """Return the kernel the zygote's first answer tells of; None when it died or could not fork."""
    from retrain.engine.zygote import receive

    try:
        data, descriptors = receive(answers, 1)
    except OSError:
        data, descriptors = b"", []
    word, _, pid = data.decode().partition(" ")
    if word == "pid" and descriptors:
        return ForkedKernel(int(pid), descriptors[0], answers)
    answers.close()
    return None


def close() -> None:
    """End all zygotes of this process, and with them their kernels."""
    with _lock:
        for zygote in _zygotes.values():
            zygote.kill()
        for zygote in _zygotes.values():
            zygote.wait()
        _zygotes.clear()


def _leave() -> None:
    """At this process's end: not to wait until the system has taken back a zygote's memory."""
    for zygote in _zygotes.values():
        zygote.kill()


def _zygote(environment: Mapping[str, str], *, stack: bool = True) -> _Zygote | None:
    key = _key(environment)
    with _lock:
        zygote = _zygotes.get(key)
        code = None if zygote is None else zygote.exit_code()
        if zygote is not None and code is not None:
            _zygotes.pop(key).kill()
            zygote = None
            if code > 0:
                _broken.add(key)  # its imports failed, and said so: they would again
        if key in _broken:
            return None
        if zygote is None:
            zygote = _zygotes[key] = _Zygote(environment, stack=stack)
        return zygote


def _key(environment: Mapping[str, str]) -> Key:
    names = (name for name in environment if name.startswith(_IMPORT_TIME) or name in _IMPORT_TIME_NAMES)
    return tuple(
        (name, environment[name]) for name in sorted(names) if (name, environment[name]) not in _SET_BY_IMPORTS
    )


def _ready(descriptor: int, seconds: float | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def _forget() -> None:
    """In a fork of this process: the zygotes are the parent's."""
    _zygotes.clear()


atexit.register(_leave)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

"""What a fork of the zygote does to become a kernel that cannot be told from a freshly started one, or an errand."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from typing import Any, NoReturn

from retrain.engine import zygotes

__all__ = ["run", "run_errand"]

_PR_SET_PDEATHSIG = 1


def run(
    request: dict[str, Any], answer: socket.socket, streams: list[int], *, errands: socket.socket | None = None
) -> NoReturn:
    """Be the kernel that ``request`` (argv after the interpreter, env, cwd) asks for; never return.

    Through ``errands`` it can have errands done by forks of the zygote.
    """
    code = 1
    app: Any = None
    try:
        if errands is not None:
            zygotes.inherit(errands)
        _detach(streams)
        _settle(request)
        app = _start(request, answer)
        app.start()
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except BaseException:  # noqa: BLE001 - there is no caller: the interpreter would print and exit 1, so does this
        traceback.print_exc(file=sys.__stderr__)
    finally:
        _leave(app, code)


def run_errand(request: dict[str, Any], channel: socket.socket, streams: list[int]) -> NoReturn:
    """Call the function that ``request`` names (target, body, env, cwd) with its body and ``channel``; never return."""
    try:
        _detach(streams)
        _settle(request)
        module, _, function = str(request["target"]).partition(":")
        getattr(importlib.import_module(module), function)(request["body"], channel)
    except BaseException:  # noqa: BLE001 - as in a kernel
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(0)  # whoever asked sees that the channel is closed


def _detach(streams: list[int]) -> None:
    zygote = os.getppid()
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != zygote:
        os._exit(1)  # it died before the kernel could be told to die with it
    for target, stream in zip((1, 2), streams, strict=True):
        os.dup2(stream, target)
        os.close(stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _settle(request: dict[str, Any]) -> None:
    """Take on the environment asked for, and what must not be shared with sibling kernels."""
    _take_on(request["env"])
    os.chdir(request["cwd"])
    sys.argv = list(request.get("argv", ()))
    tempfile.tempdir = None
    random.seed()
    if (generator := sys.modules.get("numpy.random")) is not None:  # not of numpy: to ask for it would import it
        generator.seed()
    # The inline backend hooks itself into the shell that lives when it is imported: that must be this kernel's.
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib_inline"]:
        del sys.modules[name]


def _take_on(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.environ["JPY_PARENT_PID"] = str(os.getppid())
    time.tzset()


def _start(request: dict[str, Any], answer: socket.socket) -> Any:
    from ipykernel.kernelapp import IPKernelApp

    if request.get("held") and _hung_up(answer):
        raise SystemExit(0)
    # The trait's default was read from JPY_PARENT_PID when ipykernel was imported, in the zygote.
    app = IPKernelApp.instance(parent_handle=os.getppid())
    app.initialize(request["argv"][1:])  # type: ignore[no-untyped-call]
    atexit.register(_stop_control_thread, app)  # runs before ipykernel's own closing, which it was registered after
    with answer:
        if request.get("held"):
            _wait_to_be_taken(answer)
        else:
            answer.send(b"ready")
    return app


def _hung_up(answer: socket.socket) -> bool:
    try:
        return not answer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _wait_to_be_taken(answer: socket.socket) -> None:
    """Wait for whoever asked ahead: it tells the environment, or hangs up, which is no news to anybody."""
    from retrain.engine.zygote import read, receive

    try:
        answer.send(b"ready")
        told, descriptors = receive(answer, 1)
    except OSError:
        told = b""
    if not told:
        raise SystemExit(0)
    _take_on(read(descriptors[0])["env"])


def _stop_control_thread(app: Any) -> None:
    thread = app.control_thread
    if thread is not None and thread.is_alive():
        with contextlib.suppress(RuntimeError):  # its loop closed by itself meanwhile
            thread.stop()
        thread.join(1)


def _leave(app: Any, code: int) -> NoReturn:
    """End as an interpreter does, save for tearing down every module, which takes most of a second."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        if app is not None and app.shell is not None:
            app.shell.user_ns.clear()  # finalisers: a file left open is flushed here
        gc.collect()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)

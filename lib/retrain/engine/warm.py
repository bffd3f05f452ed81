"""Kernels that start warm: each a fork of one process (the zygote) that has the data stack imported already.

``prestart()`` as a program's first act lets those imports hide behind its own. Any nbclient program can use them::

    from retrain.engine.kernels import WarmKernelManager
    NotebookClient(nb, kernel_manager_class=WarmKernelManager).execute()

and any jupyter_client program by ``JUPYTER_DEFAULT_PROVISIONER_NAME=retrain-warm`` or a kernelspec's
``"kernel_provisioner": {"provisioner_name": "retrain-warm"}``. Off Linux, for another interpreter or kernel, with
launch arguments only Popen knows, or when the imports fail, the standard kernel is started instead.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from retrain.engine import zygotes
from retrain.engine.zygotes import ForkedKernel, prestart

__all__ = ["WarmProvisioner", "prestart"]

_READY_SECONDS = 60.0
_GONE_SECONDS = 1.0
_UNDERSTOOD = {"env", "cwd", "stdin", "stdout", "stderr", "independent", "kernel_id", "extra_arguments"}


class WarmProvisioner(LocalProvisioner):
    """The standard local provisioner, except that a Python kernel of this environment is forked, not started."""

    _asked: _Asked | None = None

    def ask_ahead(self, cmd: list[str], cwd: Path) -> None:
        """Ask for the kernel that ``launch_kernel`` will take; it is held until its environment is told."""
        argv = _ipykernel_arguments(cmd)
        if argv is not None:
            request = {"argv": argv, "env": dict(os.environ), "cwd": str(cwd.absolute()), "held": True}
            answers = zygotes.request(request, 1, 2)
            self._asked = None if answers is None else _Asked(request, answers)

    def drop(self) -> None:
        """End a kernel that was asked for ahead, or hang up before there is one: it will see that nobody waits."""
        asked, self._asked = self._asked, None
        if asked is not None:
            kernel = zygotes.adopt(asked.answers) if zygotes.answered(asked.answers) else None
            if kernel is not None:
                kernel.kill()
                with suppress(subprocess.TimeoutExpired):  # it is being taken down: nobody has to see it gone
                    kernel.wait(_GONE_SECONDS)
                kernel.close()
            asked.answers.close()

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Fork a kernel for ``cmd``, or have it started the standard way; it has bound its sockets on return."""
        kernel = await self._taken(cmd, kwargs) or await _forked(cmd, kwargs)
        if kernel is None:
            return await super().launch_kernel(cmd, **kwargs)
        self.process = kernel  # type: ignore[assignment] # as much of a Popen as is asked for
        self.pid = self.pgid = kernel.pid
        self.cwd = kwargs.get("cwd") or Path.cwd()
        return self.connection_info

    async def _taken(self, cmd: list[str], kwargs: Mapping[str, Any]) -> ForkedKernel | None:
        """Return the kernel that was asked for ahead, if it becomes what is asked for now; else see that it is gone."""
        asked, self._asked = self._asked, None
        if asked is None:
            return None
        kernel, request = await _adopted(asked.answers), _request(cmd, kwargs)
        if kernel is not None and asked.fits(request, kwargs) and kernel.tell({"env": request["env"]}):
            return kernel
        if kernel is not None:
            kernel.kill()
            await readable(kernel.pidfd)
            kernel.close()
        if self.parent is not None:
            self.parent.cleanup_ipc_files()  # of the same names as the next one's
        return None

    async def send_signal(self, signum: int) -> None:
        """Signal the kernel's process group, unless the kernel is gone: its number may be another's by then."""
        if isinstance(self.process, ForkedKernel) and self.process.poll() is not None:
            return
        await super().send_signal(signum)

    async def wait(self) -> int | None:
        """Wait for the kernel's end without polling for it."""
        kernel = self.process
        await self.exited()
        code = await super().wait()
        if isinstance(kernel, ForkedKernel):
            kernel.close()
        return code

    async def cleanup(self, restart: bool = False) -> None:
        """Let go of what the kernel held here, whichever way it ended."""
        if isinstance(self.process, ForkedKernel):
            self.process.close()
        await super().cleanup(restart=restart)

    @property
    def forked(self) -> bool:
        """Return whether the kernel is a fork, not one started the standard way."""
        return isinstance(self.process, ForkedKernel)

    async def exited(self) -> None:
        """Return when a forked kernel has ended; at once for any other."""
        if isinstance(self.process, ForkedKernel) and self.process.poll() is None:
            await readable(self.process.pidfd)


@dataclass(frozen=True)
class _Asked:
    """A kernel that was asked for ahead, and the socket that its answers come on."""

    request: Mapping[str, Any]
    answers: socket.socket

    def fits(self, request: Mapping[str, Any], kwargs: Mapping[str, Any]) -> bool:
        """Return whether it becomes what is asked for now once it is told the environment."""
        same = all(self.request[name] == request[name] for name in ("argv", "cwd"))
        plain = {"env", "cwd"}.issuperset(name for name in kwargs if kwargs[name])
        return same and plain and zygotes.imports_alike(self.request["env"], request["env"])


def _request(cmd: list[str], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "argv": _ipykernel_arguments(cmd),
        "env": dict(kwargs["env"] if kwargs.get("env") is not None else os.environ),
        "cwd": str(Path(kwargs.get("cwd") or ".").expanduser().absolute()),
    }


async def _forked(cmd: list[str], kwargs: Mapping[str, Any]) -> ForkedKernel | None:
    request = _request(cmd, kwargs)
    understood = _UNDERSTOOD.issuperset(kwargs) and not kwargs.get("independent") and not kwargs.get("stdin")
    if request["argv"] is None or not understood:
        return None
    answers = zygotes.request(request, _stream(kwargs.get("stdout"), 1), _stream(kwargs.get("stderr"), 2))
    return None if answers is None else await _adopted(answers)


async def _adopted(answers: socket.socket) -> ForkedKernel | None:
    """Return the kernel once it is ready or has ended; None where there is none, or none in time."""
    kernel = None
    try:
        await readable(answers.fileno(), _READY_SECONDS)
        kernel = zygotes.adopt(answers)
        if kernel is not None:
            await readable(answers.fileno(), _READY_SECONDS)  # it is ready, or has ended: poll tells which
    except TimeoutError:
        if kernel is None:
            answers.close()  # a kernel that comes all the same finds nobody to tell, and ends
    except BaseException:  # a stop, most likely: nobody will look after this kernel
        if kernel is not None:
            kernel.kill()
        answers.close()
        raise
    return kernel


def _stream(given: Any, standard: int) -> int:
    if given is None:
        return standard
    return given if isinstance(given, int) else int(given.fileno())


def _ipykernel_arguments(cmd: list[str]) -> list[str] | None:
    """Return what follows the interpreter, if this is ipykernel under this very interpreter."""
    if not zygotes.supported() or not cmd or Path(cmd[0]).absolute() != Path(sys.executable).absolute():
        return None
    rest = [word for word in cmd[1:] if word != "-Xfrozen_modules=off"]  # a help to debuggers only
    launcher = importlib.util.find_spec("ipykernel_launcher")
    if rest[:2] != ["-m", "ipykernel_launcher"] or launcher is None:
        return None
    return [str(launcher.origin), *rest[2:]]  # what `python -m` makes of it


async def readable(descriptor: int, seconds: float | None = None) -> None:
    """Wait until ``descriptor`` can be read or so many seconds have gone by (TimeoutError)."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    own = os.dup(descriptor)  # a loop knows one waiter a descriptor, and there may be others
    loop.add_reader(own, event.set)
    try:
        await asyncio.wait_for(event.wait(), seconds)
    finally:
        loop.remove_reader(own)
        os.close(own)

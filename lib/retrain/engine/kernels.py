"""A kernel manager for nbclient that starts kernels warm where it can, and waits for events instead of for time."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from traitlets import Type

from retrain.engine.warm import WarmProvisioner

__all__ = ["WarmKernelClient", "WarmKernelManager"]

_WELCOME_SECONDS = 1.0


class WarmKernelClient(AsyncKernelClient):
    """A client that knows from the kernel's own welcome that it hears it, and need not listen for silence."""

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Return when the kernel answers and its output arrives; RuntimeError as the standard client."""
        if await self._welcomed():
            request = self.kernel_info()
            try:
                while True:
                    reply = await self.shell_channel.get_msg(timeout=_WELCOME_SECONDS)
                    if reply["parent_header"].get("msg_id") == request:
                        self._handle_kernel_info_reply(reply)
                        return
            except Empty:
                pass
        await super()._async_wait_for_ready(timeout=timeout)

    async def _welcomed(self) -> bool:
        try:
            message = await self.iopub_channel.get_msg(timeout=_WELCOME_SECONDS)
        except Empty:
            return False
        return bool(message["msg_type"] == "iopub_welcome")


class WarmKernelManager(AsyncKernelManager):
    """The standard manager with the warm provisioner, on IPC sockets in a short folder of their own.

    A kernelspec that names a provisioner gets the one it names; what is no IPython kernel keeps TCP.
    """

    client_class = "retrain.engine.kernels.WarmKernelClient"
    client_factory = Type(klass=AsyncKernelClient, default_value=WarmKernelClient)
    _folder: Path | None = None

    async def _async_pre_start_kernel(self, **kwargs: Any) -> Any:
        specification = self.kernel_spec
        if self.provisioner is None and specification is not None:
            if "ipykernel_launcher" in specification.argv and os.name == "posix":
                self._use_ipc()
            if "kernel_provisioner" not in specification.metadata:
                self.kernel_id = self.kernel_id or kwargs.pop("kernel_id", "") or os.urandom(16).hex()
                self.provisioner = WarmProvisioner(kernel_id=self.kernel_id, kernel_spec=specification, parent=self)
        return await super()._async_pre_start_kernel(**kwargs)

    pre_start_kernel = _async_pre_start_kernel

    def _use_ipc(self) -> None:
        # A socket's path may have 107 bytes: jupyter's runtime folder is often too deep for that, this is not.
        root = None if len(tempfile.gettempdir()) < 60 else "/tmp"  # noqa: S108 - the folder made there is private
        self._folder = Path(tempfile.mkdtemp(prefix="rk-", dir=root))
        self.transport = "ipc"
        self.connection_file = str(self._folder / "k.json")
        self.ip = str(self._folder / "k")

    async def _async_wait(self, pollinterval: float = 0.1) -> None:
        if isinstance(self.provisioner, WarmProvisioner):
            await self.provisioner.exited()
        await super()._async_wait(pollinterval=pollinterval)

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        await super()._async_cleanup_resources(restart=restart)
        if self._folder is not None and not restart:
            shutil.rmtree(self._folder, ignore_errors=True)

    cleanup_resources = _async_cleanup_resources

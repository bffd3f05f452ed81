"""A kernel manager for nbclient that starts kernels warm where it can, and waits for events instead of for time."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.paths import jupyter_path
from traitlets import Type, default

from retrain.engine.warm import WarmProvisioner

__all__ = ["WarmKernelClient", "WarmKernelManager", "ahead"]

_WELCOME_SECONDS = 1.0
_ARGUMENTS = ("--HistoryManager.hist_file=:memory:",)
"""What nbclient starts kernels with. One that was asked for with other arguments is not taken."""


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


class _Specifications(KernelSpecManager):
    """The standard one, save that IPython, whose folder is the last of all, is imported only to look there."""

    def _find_spec_directory(self, kernel_name: str) -> str | None:
        folders = jupyter_path("kernels")
        if type(self) is _Specifications and not self.trait_has_value("kernel_dirs"):
            found = KernelSpecManager(kernel_dirs=folders)._find_spec_directory(kernel_name)
            if found is not None and str(Path(found).parent) in folders:
                return found
        return super()._find_spec_directory(kernel_name)


class WarmKernelManager(AsyncKernelManager):
    """The standard manager with the warm provisioner, on IPC sockets in a short folder of their own.

    A kernelspec that names a provisioner gets the one it names; what is no IPython kernel keeps TCP.
    """

    client_class = "retrain.engine.kernels.WarmKernelClient"
    client_factory = Type(klass=AsyncKernelClient, default_value=WarmKernelClient)
    _folder: Path | None = None

    @default("kernel_spec_manager")
    def _our_kernel_spec_manager(self) -> KernelSpecManager:
        return _Specifications(data_dir=self.data_dir)

    async def _async_pre_start_kernel(self, **kwargs: Any) -> Any:
        self._prepare(kwargs.pop("kernel_id", ""))
        return await super()._async_pre_start_kernel(**kwargs)

    pre_start_kernel = _async_pre_start_kernel

    def _prepare(self, kernel_id: str = "") -> None:
        specification = self.kernel_spec
        if self.provisioner is None and specification is not None:
            self.kernel_id = self.kernel_id or kernel_id or os.urandom(16).hex()
            if "ipykernel_launcher" in specification.argv and os.name == "posix":
                self._use_ipc()
            if "kernel_provisioner" not in specification.metadata:
                self.provisioner = WarmProvisioner(kernel_id=self.kernel_id, kernel_spec=specification, parent=self)

    def ask_ahead(self, cwd: Path) -> None:
        """Ask for the kernel before it is started: it makes itself ready, and waits to be told its environment."""
        self._prepare()
        if isinstance(self.provisioner, WarmProvisioner) and self._folder is not None:
            self._launch_args = {}
            self.write_connection_file()
            self.provisioner.ask_ahead(self.format_kernel_cmd([*_ARGUMENTS]), cwd)

    def drop(self) -> None:
        """Let go of a kernel that was asked for ahead and is not wanted: it ends by itself."""
        if isinstance(self.provisioner, WarmProvisioner):
            self.provisioner.drop()
        self._remove_folder()

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
        if not restart:
            self._remove_folder()

    cleanup_resources = _async_cleanup_resources

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def ahead(cwd: Path, *, kernel_name: str = "python3") -> WarmKernelManager | None:
    """Ask for the kernel of the next notebook, which starts beside whatever comes before it; None without such a one.

    ``engine.execute`` takes it. It begins as any other does, in ``cwd`` and in the environment that is asked for then.
    """
    manager = WarmKernelManager(kernel_name=kernel_name)
    try:
        manager.ask_ahead(cwd)
    except (NoSuchKernel, OSError):  # whoever executes a notebook is told
        manager.drop()
        return None
    return manager

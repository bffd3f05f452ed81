"""A kernel that is asked for ahead is like any other; errands, and what is asked while the zygote still imports."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import psutil
import pytest

from retrain.engine import ahead, execute, kernels, zygotes
from retrain.engine.kernels import WarmKernelManager

Write = Callable[..., Path]

TELL = "import os; print(os.getpid(), os.environ.get('TOLD'), os.environ.get('TZ'), os.getcwd())"
SOON = 30.0


def until(done: Callable[[], bool]) -> bool:
    """Wait until something is so, and tell whether it ever was."""
    end = time.monotonic() + SOON
    while not done() and time.monotonic() < end:
        time.sleep(0.01)
    return done()


def held(manager: WarmKernelManager) -> int:
    """Return the pid of the kernel that was asked for ahead, once it lives."""
    parents = [psutil.Process(zygote._process.pid) for zygote in zygotes._zygotes.values()]
    (found,) = [each for parent in parents for each in parent.children() if has_bound(each, f"{manager.ip}-1")]
    return found.pid


def has_bound(process: psutil.Process, address: str) -> bool:
    """Tell whether a process listens there."""
    return any(socket.laddr == address for socket in process.net_connections("unix"))


def ready(manager: WarmKernelManager) -> bool:
    """Tell whether the kernel has bound its sockets: the first of all, which is enough to find it by."""
    return Path(f"{manager.ip}-1").exists()


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Callable[[], WarmKernelManager]]:
    """Ask for a kernel ahead, in the test's folder, and wait for it."""
    made: list[WarmKernelManager] = []

    def ask() -> WarmKernelManager:
        manager = ahead(tmp_path)
        assert manager is not None
        made.append(manager)
        assert until(lambda: ready(manager))
        return manager

    yield ask
    for manager in made:
        manager.drop()


def told(notebook: Path) -> list[str]:
    """Return the words that a notebook's only cell printed."""
    cell = nbformat.read(notebook, as_version=4).cells[-1]
    return "".join(output.text for output in cell.outputs if output.output_type == "stream").split()


def test_the_notebook_gets_the_kernel_that_was_asked_for_ahead(
    write: Write, tmp_path: Path, asked: Callable[[], WarmKernelManager]
) -> None:
    """In the environment that is asked for when it begins, and nothing of it is left behind."""
    manager = asked()
    pid, folder = held(manager), Path(manager.connection_file).parent
    options = {"kernel_env": {"TOLD": "late", "TZ": "Asia/Tokyo"}, "cwd": tmp_path}
    account = execute(write(TELL), tmp_path / "out.ipynb", kernel=manager, **options)
    assert account.completed
    assert told(tmp_path / "out.ipynb") == [str(pid), "late", "Asia/Tokyo", str(tmp_path)]
    assert until(lambda: not psutil.pid_exists(pid))
    assert not folder.exists()


@pytest.mark.parametrize("other", ["folder", "imports", "kernel"])
def test_one_that_does_not_fit_is_not_taken(
    write: Write, tmp_path: Path, asked: Callable[[], WarmKernelManager], other: str
) -> None:
    """Another folder, or variables that are read while things are imported: a kernel of its own, and that one ends."""
    manager = asked()
    pid, elsewhere = held(manager), tmp_path / "elsewhere"
    elsewhere.mkdir()
    if other == "kernel":
        manager.kernel_name = "another"
    account = execute(
        write(TELL), tmp_path / "out.ipynb", kernel=manager,
        cwd=elsewhere if other == "folder" else tmp_path,
        kernel_env={"LC_ALL": "C.UTF-8"} if other == "imports" else {"TOLD": "late"},
    )  # fmt: skip
    assert account.completed
    assert told(tmp_path / "out.ipynb")[0] != str(pid)
    assert until(lambda: not psutil.pid_exists(pid))


def test_one_that_died_meanwhile_is_replaced(
    write: Write, tmp_path: Path, asked: Callable[[], WarmKernelManager]
) -> None:
    """Its death is no death of the notebook's kernel: nothing had run in it."""
    manager = asked()
    pid = held(manager)
    os.kill(pid, 9)
    assert until(lambda: not psutil.pid_exists(pid))
    assert execute(write(TELL), tmp_path / "out.ipynb", kernel=manager, cwd=tmp_path).completed
    assert told(tmp_path / "out.ipynb")[0] != str(pid)


def test_one_that_nobody_comes_for_ends_by_itself(
    asked: Callable[[], WarmKernelManager], capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a word, and its folder goes with it."""
    manager = asked()
    pid, folder = held(manager), Path(manager.connection_file).parent
    manager.drop()
    assert until(lambda: not psutil.pid_exists(pid))
    assert not folder.exists()
    assert capfd.readouterr() == ("", "")


def test_none_is_asked_for_where_kernels_are_not_forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard provisioner has no such thing, nor is there one of a kernel that is not installed."""
    assert kernels.ahead(tmp_path, kernel_name="not-installed") is None
    monkeypatch.setenv("RETRAIN_WARM_KERNELS", "off")
    assert ahead(tmp_path) is None


def test_the_specification_is_found_as_ever_and_ipython_is_not_imported_for_it() -> None:
    """IPython's folder is the last that is looked into: what stands in it is found there."""
    code = (
        "import sys\nfrom retrain.engine.kernels import WarmKernelManager\n"
        "from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel\n"
        "found = WarmKernelManager(kernel_name='python3').kernel_spec\nprint('IPython' in sys.modules)\n"
        "print(found.to_dict() == KernelSpecManager().get_kernel_spec('python3').to_dict())\n"
        "print(WarmKernelManager(kernel_name='mine').kernel_spec.display_name)\n"
        "try:\n    WarmKernelManager(kernel_name='nobodys').kernel_spec\nexcept NoSuchKernel:\n    print('none')"
    )
    assert _lines(code, kernelspec="mine") == ["False", "True", "Mine", "none"]


ERRANDS = """
import os

def mirror(body, channel):
    while asked := channel.recv(99):
        channel.send(f"{asked.decode()} {body['word']} {os.getcwd()} {os.environ['TOLD']}".encode())

def fails(body, channel):
    raise ValueError(body["word"])
"""


def test_an_errand_is_done_by_a_process_of_its_own(tmp_path: Path) -> None:
    """It is had while the zygote still imports, before any kernel; a kernel that was asked for first comes after."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "errands.py").write_text(ERRANDS)
    code = (
        "import os\nfrom retrain.engine import zygotes\n"
        "assert zygotes.errand('errands:mirror', {}) is None\n"  # nothing is started for an errand
        "zygotes.prestart(stack=False)\nos.environ['TOLD'] = 'late'\n"
        "environment = {**os.environ, 'TOLD': 'later'}\n"
        "body = {'argv': ['ipykernel', '-f', 'no-such-folder/k.json'], 'env': environment, 'cwd': '/'}\n"
        "kernel = zygotes.request(body, 2, 2)\n"
        "channel = zygotes.errand('errands:mirror', {'word': 'b'})\n"
        "channel.send(b'a')\nprint(channel.recv(99).decode())\nchannel.send(b'c')\nprint(channel.recv(99).decode())\n"
        "channel.close()\n"
        "for name in ('fails', 'unknown'):\n    with zygotes.errand(f'errands:{name}', {'word': 'd'}) as gone:\n"
        "        print(gone.recv(99))\n"
        "found = zygotes.adopt(kernel)\nfound.kill()\nprint(found.wait(60))\nzygotes.close()"
    )
    place = str(tmp_path)
    said = _lines(code, cwd=place, environment={"PYTHONPATH": f"{place}/lib"})
    assert said == [f"a b {place} late", f"c b {place} late", "b''", "b''", "-9"]


def test_what_comes_later_is_imported_after_the_first_kernel(write: Write, tmp_path: Path) -> None:
    """Until then a kernel imports it itself."""
    code = (
        "import sys, nbformat\nfrom pathlib import Path\nfrom retrain.engine import execute, zygotes\n"
        "zygotes.prestart(stack=False)\nsaid = []\n"
        "while 'True' not in said and len(said) < 200:\n"
        "    output = Path(sys.argv[2]) / f'{len(said)}.ipynb'\n"
        "    assert execute(Path(sys.argv[1]), output).completed\n"
        "    said.append(nbformat.read(output, as_version=4).cells[-1].outputs[0].text.strip())\n"
        "print(said[0], said[-1])\nzygotes.close()"
    )
    notebook = write("import sys; print('retrain.acts' in sys.modules)")
    assert _lines(code, str(notebook), str(tmp_path)) == ["False True"]


@pytest.mark.parametrize(
    "sent",
    [
        "zygotes._inherited.send(b'k')",
        "send(zygotes._inherited, b'e', [garbage, garbage, 1, 2])",
        "send(zygotes._inherited, b'e', [garbage])",
    ],
)
def test_a_kernel_of_the_runbook_can_have_errands_done(write: Write, tmp_path: Path, sent: str) -> None:
    """By a fork of the zygote, which has what the kernel has not; one that plays with the socket loses it, no more."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "errands.py").write_text(ERRANDS)
    ask = (
        "import os\nfrom retrain.engine import zygotes\nos.environ['TOLD'] = 'there'\n"
        "with zygotes.errand('errands:mirror', {'word': 'b'}) as channel:\n"
        "    channel.send(b'a')\n    print(channel.recv(99).decode())\n"
    )
    play = (
        "from retrain.engine.zygote import send\ngarbage = os.memfd_create('x')\nos.write(garbage, b'{')\n"
        f"{sent}\n"
        "try:\n    with zygotes.errand('errands:mirror', {}) as channel:\n        print(channel.recv(9))\n"
        "except (OSError, TypeError):\n    print('gone')"  # it may not have been taken away yet, or just so
    )
    code = (
        "import sys\nfrom pathlib import Path\nfrom retrain.engine import execute, zygotes\n"
        "zygotes.prestart(stack=False)\n"
        "for name in ('first', 'second'):\n"
        "    account = execute(Path(sys.argv[1]), Path(sys.argv[2]) / f'{name}.ipynb')\n"
        "    assert account.completed, account\n"
        "zygotes.close()"
    )
    notebook = write(ask, play)
    environment = {"PYTHONPATH": str(tmp_path / "lib")}
    assert _lines(code, str(notebook), str(tmp_path), cwd=str(tmp_path), environment=environment) == []
    for name in ("first", "second"):
        told, lost = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4).cells[-2:]
        assert told.outputs[0].text == f"a b {tmp_path} there\n"
        assert lost.outputs[0].text in ("gone\n", "b''\n")


def _lines(
    code: str,
    *arguments: str,
    cwd: str | None = None,
    environment: dict[str, str] | None = None,
    kernelspec: str | None = None,
) -> list[str]:
    """Run ``code`` in a process of its own, with a kernel's specification in IPython's folder; return what it said."""
    import json
    import tempfile

    with tempfile.TemporaryDirectory() as home:
        if kernelspec is not None:
            folder = Path(home) / "kernels" / kernelspec
            folder.mkdir(parents=True)
            plain = {"argv": [sys.executable], "display_name": kernelspec.title(), "language": "python"}
            (folder / "kernel.json").write_text(json.dumps(plain))
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=240, cwd=cwd,
            env={**os.environ, "IPYTHONDIR": home, **(environment or {})},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()

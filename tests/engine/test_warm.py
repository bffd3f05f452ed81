"""A warm kernel cannot be told from a standard one, and nothing leaks from notebook to notebook."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import nbformat
import psutil
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from retrain.engine import Account, execute, zygotes
from retrain.engine.kernels import WarmKernelManager

Write = Callable[..., Path]

SNAPSHOT = """
import pandas, numpy, httpx, scrapbook, snowflake.connector, matplotlib.pyplot, tqdm.auto
import builtins, gc, json, locale, logging, os, resource, signal, sys, threading, time, warnings
def kind(descriptor):
    return os.readlink(f"/proc/self/fd/{descriptor}").split(":")[0]
print(json.dumps({
    "cwd": os.getcwd(), "path": sys.path, "argv": sys.argv[:2],
    "signals": {number: str(signal.getsignal(number)) for number in range(1, 32)},
    "limits": [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT")],
    "threads": sorted(thread.name.split("-")[0] for thread in threading.enumerate()),
    "sockets": sum(kind(d) == "socket" for d in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{d}")),
    # In which order modules are imported is no matter; ruamel comes with retrain.notebook.
    "filters": sorted(text for text in map(str, warnings.filters) if "ruamel" not in text),
    "handlers": list(map(str, logging.getLogger().handlers)), "level": logging.getLogger().level,
    "locale": locale.getlocale(), "zone": time.tzname, "umask": os.umask(0o22),
    "columns": pandas.options.display.max_columns, "bar": tqdm.auto.tqdm.__mro__[1].__module__,
    "backend": matplotlib.get_backend(), "rc": {name: str(value) for name, value in matplotlib.rcParams.items()},
    "interactive": matplotlib.is_interactive(), "gc": [gc.isenabled(), gc.get_threshold()], "flags": str(sys.flags),
    "builtins": sorted(dir(builtins)), "main": sorted(vars(sys.modules["__main__"])), "executable": sys.executable,
    "session": [os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()], "stdout": type(sys.stdout).__name__,
    "recursion": sys.getrecursionlimit(), "switch": sys.getswitchinterval(), "stdin": sys.__stdin__.closed,
    "environment": {name: value for name, value in os.environ.items()
                    if name not in {"JPY_PARENT_PID", "RETRAIN_WARM_KERNELS", "PYTEST_CURRENT_TEST"}
                    and not name.startswith(("PYDEVD", "ARROW"))},  # set by imports, here and there
}))
"""


def _said(notebook: Path, cell: int = 1) -> str:
    """Return what a cell of an executed notebook printed."""
    outputs = nbformat.read(notebook, as_version=4).cells[cell].outputs
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


@pytest.fixture
def say(write: Write, tmp_path: Path) -> Callable[..., str]:
    """Run cells in one fresh kernel; return what the last one printed."""
    count = iter(range(100))

    def say_(*cells: str, **options: object) -> str:
        output = tmp_path / f"out-{next(count)}.ipynb"
        account = execute(write(*cells), output, **options)  # type: ignore[arg-type]
        assert account.completed, account
        return _said(output, len(cells))

    return say_


def test_a_warm_kernel_cannot_be_told_from_a_standard_one(
    say: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signals, limits, threads, sockets, paths, filters, displays, colours: all as in a kernel started afresh."""
    monkeypatch.setenv("RETRAIN_WARM_KERNELS", "on")
    warm = json.loads(say(SNAPSHOT))
    monkeypatch.setenv("RETRAIN_WARM_KERNELS", "off")
    assert warm == json.loads(say(SNAPSHOT))
    assert warm["columns"] == 20


LINKS = """
import os
def links():
    folder = "/proc/self/fd"
    return [os.readlink(f"{folder}/{name}") for name in os.listdir(folder) if os.path.lexists(f"{folder}/{name}")]
"""
# What one notebook does, what the next one prints, and what that has to be.
LEAKS = {
    "module state": (
        "import pandas; pandas.options.display.max_columns = 3; pandas.mine = 1",
        "import pandas; print(pandas.options.display.max_columns, hasattr(pandas, 'mine'))",
        "20 False",
    ),
    "imported modules": ("import wave", "import sys; print('wave' in sys.modules)", "False"),
    "environment": (
        "import os; os.environ['LEAK'] = 'x'; del os.environ['HOME']",
        "import os; print('LEAK' in os.environ, 'HOME' in os.environ)",
        "False True",
    ),
    "folder": ("import os; os.chdir('/')", "import os; print(os.getcwd() == '/')", "False"),
    "open files": (
        "kept = [open('/dev/null') for _ in range(40)]",
        LINKS + "print(links().count('/dev/null') < 5)",
        "True",
    ),
    "connections": (
        "import socket; server = socket.create_server(('127.0.0.1', 0))",
        "import psutil; print(len(psutil.Process().net_connections('inet')))",
        "1",  # the debugger's own
    ),
    "warnings filters": (
        "import warnings; warnings.simplefilter('error', UserWarning)",
        "import warnings; print(any('error' in f and f[2] is UserWarning for f in warnings.filters))",
        "False",
    ),
    "umask": ("import os; os.umask(0o77)", "import os; print(os.umask(0o22) == 0o77)", "False"),
    "logging": (
        "import logging; logging.basicConfig(level=1)",
        "import logging; print(logging.getLogger().level)",
        "30",
    ),
    "names": ("leak = 1", "print('leak' in globals())", "False"),
    "random state": (
        "import random, numpy; random.seed(7); numpy.random.seed(7)",
        "import random, numpy\nfirst = random.random(), numpy.random.random()\nrandom.seed(7); numpy.random.seed(7)\n"
        "print(random.random() == first[0], numpy.random.random() == first[1])",
        "False False",
    ),
}


@pytest.mark.parametrize("what", LEAKS)
def test_nothing_leaks_into_the_next_notebook(what: str, say: Callable[..., str], kernels: str) -> None:
    """What one notebook does to its interpreter the next one does not see; a later cell of its own does."""
    does, asks, answer = LEAKS[what]
    assert say(does, asks).strip() != answer
    assert say(asks).strip() == answer


def test_random_numbers_are_not_shared_between_forks(say: Callable[..., str]) -> None:
    """Every kernel draws its own: the global generators are seeded anew in each."""
    draw = "import random, numpy, uuid; print(random.random(), numpy.random.random(), uuid.uuid4())"
    first, second = say(draw).split(), say(draw).split()
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_the_time_zone_asked_for_is_in_force(say: Callable[..., str]) -> None:
    """TZ is read once by the C library: the fork reads it again."""
    ask = "import time, datetime; print(datetime.datetime.fromtimestamp(0).hour)"
    assert [say(ask, kernel_env={"TZ": zone}).strip() for zone in ("UTC", "Asia/Tokyo")] == ["0", "9"]


def test_libraries_that_read_the_environment_when_imported_see_the_kernels(say: Callable[..., str]) -> None:
    """An environment that differs in what imports read gets a zygote of its own."""
    ask = "import matplotlib; print(matplotlib.get_backend().lower())"
    assert say(ask, kernel_env={"MPLBACKEND": "svg"}).strip() == "svg"
    assert "inline" in say(ask)


def test_figures_show(write: Write, tmp_path: Path, kernels: str) -> None:
    """The inline backend is hooked into the kernel's own shell."""
    execute(write("import matplotlib.pyplot as plt\nplt.plot([1, 2]);"), tmp_path / "out.ipynb")
    outputs = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[1].outputs
    assert [set(output.data) for output in outputs if "data" in output] == [{"image/png", "text/plain"}]


def test_native_libraries_work_after_the_fork(say: Callable[..., str]) -> None:
    """BLAS on several threads, Arrow's pool, TLS and drawing, in a fork."""
    use = """
import numpy, pandas, pyarrow, pyarrow.compute, ssl, io, matplotlib.pyplot as plt
a = numpy.random.default_rng(0).random((400, 400))
assert numpy.allclose(a @ numpy.linalg.inv(a), numpy.eye(400), atol=1e-6)
table = pyarrow.table({"x": list(range(200_000))})
assert pyarrow.compute.sum(table["x"]).as_py() == 19_999_900_000
assert len(table.to_pandas(use_threads=True).groupby("x").size()) == 200_000
ssl.create_default_context()
plt.hist(a.ravel()); plt.savefig(io.BytesIO(), format="png"); plt.close()
print("well")
"""
    assert [say(use).strip() for _ in range(3)] == ["well"] * 3


def test_a_kernel_says_goodbye(say: Callable[..., str], tmp_path: Path, kernels: str) -> None:
    """At its end exit handlers run, threads are waited for, and what was not closed is flushed."""
    say(
        "import atexit, threading, time, weakref\n"
        "class Thing: pass\n"
        "thing = Thing(); weakref.finalize(thing, open('finalised', 'w').close)\n"
        "atexit.register(lambda: open('handler', 'w').close())\n"
        "left = open('flushed', 'w'); left.write('all of it')\n"
        "threading.Thread(target=lambda: (time.sleep(0.3), open('thread', 'w').close())).start()",
        cwd=tmp_path,
    )
    assert (tmp_path / "flushed").read_text() == "all of it"
    assert {"finalised", "handler", "thread"} <= {path.name for path in tmp_path.iterdir()}


def _with_kernel(use: Callable[[AsyncKernelManager], object]) -> object:
    async def run() -> object:
        manager = WarmKernelManager(kernel_name="python3")
        await manager.start_kernel()
        client = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=60)
            result = use(manager, client)  # type: ignore[call-arg]
            return await result if asyncio.iscoroutine(result) else result
        finally:
            client.stop_channels()
            if await manager.is_alive():
                await manager.shutdown_kernel(now=True)
            await manager.cleanup_resources()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("code", "exit_code"), [("import os; os._exit(7)", 7), ("import os; os.kill(os.getpid(), 9)", -9)]
)
def test_exit_codes_are_told(code: str, exit_code: int, kernels: str) -> None:
    """The provisioner knows how the kernel ended, as the standard one does."""

    async def use(manager: AsyncKernelManager, client: object) -> int | None:
        client.execute(code)  # type: ignore[attr-defined]
        assert manager.provisioner is not None
        code_: int | None = await asyncio.wait_for(manager.provisioner.wait(), 10)
        return code_

    assert _with_kernel(use) == exit_code


def test_interrupt_and_restart(kernels: str) -> None:
    """A running cell is interrupted; a restarted kernel is another process on the same connection."""

    async def use(manager: AsyncKernelManager, client: object) -> None:
        reply = asyncio.ensure_future(
            client.execute_interactive("import time; time.sleep(60)", output_hook=lambda message: None)  # type: ignore[attr-defined]
        )
        await asyncio.sleep(0.5)  # the kernel's own: until it sleeps there is nothing to interrupt
        await manager.interrupt_kernel()
        assert (await asyncio.wait_for(reply, 10))["content"]["ename"] == "KeyboardInterrupt"
        assert manager.provisioner is not None
        before = manager.provisioner.pid
        await manager.restart_kernel(now=True)
        await client.wait_for_ready(timeout=60)  # type: ignore[attr-defined]
        assert manager.provisioner.pid != before

    _with_kernel(use)


def test_sockets_are_local_and_leave_no_folder(say: Callable[..., str], capfd: pytest.CaptureFixture[str]) -> None:
    """IPC on a short path: no warning of unencrypted TCP, no port open, nothing left behind."""
    path = say("import sys; print(sys.argv[sys.argv.index('-f') + 1])").strip()
    assert len(path) < 80
    assert not Path(path).parent.exists()
    assert "encryption" not in capfd.readouterr().err


def test_siblings_share_no_descriptors(write: Write, tmp_path: Path) -> None:
    """A kernel forked while another lives holds none of the zygote's descriptors for it."""
    ask = LINKS + "print(sorted(link.split(':')[0] for link in links()))"
    alone = write(ask, name="alone.ipynb")
    execute(alone, tmp_path / "alone.out.ipynb")
    waiting = threading.Event()
    sleeper = write(
        "import time\nopen('up', 'w').close()\nwhile not __import__('os').path.exists('done'): time.sleep(0.05)",
        name="sleeper.ipynb",
    )
    thread = threading.Thread(target=execute, args=(sleeper, tmp_path / "sleeper.out.ipynb"), kwargs={"cwd": tmp_path})
    thread.start()
    while not (tmp_path / "up").exists() and thread.is_alive():
        waiting.wait(0.05)
    execute(write(ask, name="beside.ipynb"), tmp_path / "beside.out.ipynb")
    (tmp_path / "done").touch()
    thread.join()
    assert Account.read(tmp_path / "sleeper.out.ipynb").completed
    assert _said(tmp_path / "beside.out.ipynb") == _said(tmp_path / "alone.out.ipynb")


def _zygote_process() -> psutil.Process:
    for child in psutil.Process().children():
        if "retrain.engine.zygote" in child.cmdline():
            return child
    raise AssertionError("no zygote runs")


def test_the_zygote_is_safe_to_fork(say: Callable[..., str]) -> None:
    """It has no thread but native ones of BLAS and an allocator, no connection, no epoll, no ZeroMQ."""
    say("x = 1")
    zygote = _zygote_process()
    names = {path.read_text().strip() for path in Path(f"/proc/{zygote.pid}/task").glob("*/comm")}
    links = [str(path.readlink()) for path in Path(f"/proc/{zygote.pid}/fd").iterdir()]
    assert not any("ZMQ" in name or "Thread" in name for name in names), names
    assert zygote.net_connections("inet") == []
    assert not any("eventpoll" in link for link in links), links
    assert sum(link.startswith("socket:") for link in links) == 1, links


def test_no_import_starts_a_thread_not_even_for_a_moment() -> None:
    """One that has ended by the time it is looked for has held locks all the same, and on a busy machine it has not."""
    code = (
        "import threading\nstarted, start = [], threading.Thread.start\n"
        "threading.Thread.start = lambda thread: (started.append(thread.name), start(thread))[1]\n"
        "from retrain.engine.zygote import ERRANDS, LATER, RUNBOOK, STACK, preload\n"
        "preload(ERRANDS + RUNBOOK + LATER + STACK)\nprint(started)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert told.stdout == "[]\n"


def test_a_killed_zygote_takes_its_kernel_along_and_is_replaced(write: Write, tmp_path: Path) -> None:
    """The running notebook is told its kernel died; the next one runs, warm again."""
    kill = "import os, signal, time; os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)"
    account = execute(write("x = 1", kill), tmp_path / "first.ipynb", cell_timeout=30)
    assert [cell.status for cell in account.cells] == ["ok", "dead"]

    assert execute(write("x = 1"), tmp_path / "second.ipynb").completed
    assert _zygote_process().is_running()


def test_a_preload_that_fails_leaves_the_standard_kernel(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import that breaks in the zygote breaks no notebook; it is not tried again."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "croniter.py").write_text("raise ValueError('broken on import')")
    broken = {"PYTHONPATH": str(tmp_path / "broken")}
    ask = "import os, psutil; print('retrain.engine.zygote' in psutil.Process(os.getppid()).cmdline())"
    for name in ("first", "second"):
        account = execute(write(ask), tmp_path / f"{name}.ipynb", kernel_env=broken)
        assert account.completed, account
        assert _said(tmp_path / f"{name}.ipynb").strip() == "False"
    assert zygotes._key({**os.environ, **broken}) in zygotes._broken


def test_after_an_import_that_fails_or_starts_a_thread_no_kernel_is_forked(tmp_path: Path) -> None:
    """Nothing more is imported either; whoever asks for a kernel is told so."""
    (tmp_path / "fails.py").write_text("raise ValueError('broken on import')")
    (tmp_path / "starts.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()"
    )
    code = (
        "import os, socket, sys\nfrom retrain.engine.zygote import _Zygote, receive, send\n"
        "ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "zygote = _Zygote(theirs)\nzygote.begin()\nassert zygote.prepare(['string', sys.argv[1], 'this'])\n"
        "mine, answers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "body = os.memfd_create('request')\nos.write(body, b'{}')\n"
        "send(ours, b'k', [body, answers.fileno(), 1, 2])\nassert zygote.answer(None)\n"
        "print('this' in sys.modules, mine.recv(99).decode())\nos._exit(0)"
    )
    for name in ("fails", "starts"):
        answer = subprocess.run(
            [sys.executable, "-c", code, name],
            env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        assert answer.stdout.strip() == f"False error {name} could not be imported", answer.stderr


def test_the_prestarted_zygote_serves_after_the_connector_was_imported() -> None:
    """The connector sets a variable that imports read: that alone asks for no other zygote."""
    code = (
        "import os\nfrom retrain.engine import zygotes\nbefore = zygotes._key(os.environ)\n"
        "from retrain.warehouse.driver import connector\n"
        "print('ARROW_DEFAULT_MEMORY_POOL' in os.environ, zygotes._key(os.environ) == before)\n"
        "os.environ['ARROW_DEFAULT_MEMORY_POOL'] = 'jemalloc'\nprint(zygotes._key(os.environ) == before)"
    )
    free = {name: value for name, value in os.environ.items() if not name.startswith("ARROW")}
    told = subprocess.run([sys.executable, "-c", code], env=free, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["True", "True", "False"]


def test_any_nbclient_program_can_use_them(write: Write) -> None:
    """nbclient alone, with our kernel manager."""
    notebook = nbformat.read(write("import os\nos.getppid()"), as_version=4)
    NotebookClient(notebook, kernel_manager_class=WarmKernelManager).execute()
    parent = psutil.Process(int(notebook.cells[0].outputs[0].data["text/plain"]))
    assert "retrain.engine.zygote" in parent.cmdline()


def test_any_jupyter_client_program_can_use_them(write: Write, tmp_path: Path) -> None:
    """The provisioner by its entry point, named in the environment, under the standard manager over TCP."""
    code = (
        "import nbformat, nbclient, sys\nnb = nbformat.read(sys.argv[1], 4)\nnbclient.NotebookClient(nb).execute()\n"
        "print(nb.cells[0].outputs[0].data['text/plain'])"
    )
    source = write("import os, psutil\n'retrain.engine.zygote' in psutil.Process(os.getppid()).cmdline()")
    answer = subprocess.run(
        [sys.executable, "-c", code, source],
        env={**os.environ, "JUPYTER_DEFAULT_PROVISIONER_NAME": "retrain-warm"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert answer.stdout.strip() == "True", answer.stderr


def test_the_plain_papermill_command_can_use_them(write: Write, tmp_path: Path) -> None:
    """``papermill --engine retrain`` from a process of its own: a forked kernel, a true account, no orphan."""
    source = write("import os, psutil\nparent = psutil.Process(os.getppid())\nprint(parent.pid, *parent.cmdline())")
    subprocess.run(
        [Path(sys.executable).with_name("papermill"), "--engine", "retrain", source, tmp_path / "out.ipynb"],
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert Account.read(tmp_path / "out.ipynb").completed
    zygote, *command = _said(tmp_path / "out.ipynb").split()
    assert "retrain.engine.zygote" in command
    assert not psutil.pid_exists(int(zygote)) or psutil.Process(int(zygote)).status() == psutil.STATUS_ZOMBIE


def test_another_interpreter_gets_a_standard_kernel() -> None:
    """Only ipykernel under this very interpreter can be forked from here."""
    from retrain.engine.warm import _ipykernel_arguments

    assert _ipykernel_arguments(["/elsewhere/python", "-m", "ipykernel_launcher", "-f", "x"]) is None
    assert _ipykernel_arguments([sys.executable, "-m", "bash_kernel", "-f", "x"]) is None
    assert (
        _ipykernel_arguments([sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "x"])
        is not None
    )

"""Files are whole under their final name, or not there."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retrain.engine import Account, EngineError, execute, writing

REPLACE_FOREVER = """
import json, sys
from pathlib import Path
from retrain.engine import writing
path, number = Path(sys.argv[1]), 0
while True:
    number += 1
    writing.replace(path, json.dumps({"number": number, "filling": "x" * 200_000}))
    if number == 1:
        print("begun", flush=True)
"""


def test_create_never_overwrites(tmp_path: Path) -> None:
    """The second one to claim a name gets FileExistsError; the first one's file stays."""
    writing.create(tmp_path / "a", "first")
    with pytest.raises(FileExistsError):
        writing.create(tmp_path / "a", "second")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "first")]


def test_a_failed_replace_leaves_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error before the rename changes nothing and leaves no temporary file."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writing.replace(tmp_path / "a", "first")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        writing.replace(tmp_path / "a", "second")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "first")]


def test_a_lone_surrogate_is_written_as_its_escape(tmp_path: Path) -> None:
    """What a cell prints may not be Unicode; the file still parses and says the same."""
    writing.replace(tmp_path / "a", json.dumps({"x": "\ud800"}, ensure_ascii=False))
    assert json.loads((tmp_path / "a").read_text())["x"] == "\ud800"


def test_a_journal_keeps_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed append takes back the part it wrote."""
    journal = writing.Journal(tmp_path / "j")
    journal.append({"number": 1})
    real = os.write

    def part(descriptor: int, data: bytes) -> int:
        if len(data) < 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data[: len(data) - 3])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", part)
        with pytest.raises(OSError, match="No space"):
            journal.append({"number": 2})
    journal.append({"number": 3})
    journal.close()
    journal.close()
    assert [json.loads(line)["number"] for line in (tmp_path / "j").read_text().splitlines()] == [1, 3]


def test_a_journal_belongs_to_one_attempt(tmp_path: Path) -> None:
    """A journal that is there already is not continued."""
    writing.Journal(tmp_path / "j").close()
    with pytest.raises(FileExistsError):
        writing.Journal(tmp_path / "j")


def test_the_pace_bounds_rate_and_share() -> None:
    """Not sooner than 2 s after the last save, nor so often that saving takes more than a tenth of the time."""
    now = [0.0]
    pace = writing.Pace(clock=lambda: now[0])
    assert not pace.due()
    now[0] = 2.0
    assert pace.due()
    with pace.saving():
        now[0] = 2.1
    now[0] = 4.09
    assert not pace.due()
    now[0] = 4.1
    assert pace.due()
    with pace.saving():
        now[0] = 5.1  # one second of saving: nine more before the next
    now[0] = 14.0
    assert not pace.due()
    now[0] = 14.2
    assert pace.due()


def test_a_kill_never_tears_a_file(tmp_path: Path) -> None:
    """Killed at any moment of a write, the file under its final name parses."""
    for seed in range(10):
        path = tmp_path / f"{seed}.json"
        command = [sys.executable, "-c", REPLACE_FOREVER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random.Random(seed).uniform(0, 0.03))  # noqa: S311 - when to kill, nothing more
            process.send_signal(signal.SIGKILL)
        assert len(json.loads(path.read_text())["filling"]) == 200_000


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def _fills(folder: Path, *, leaving: int) -> str:
    """A cell that leaves so many bytes of the disk."""
    return (
        "import os\n"
        f"left = os.statvfs({str(folder)!r}).f_bavail * os.statvfs({str(folder)!r}).f_frsize\n"
        f"with open({str(folder / 'filling')!r}, 'wb') as file: file.write(b'x' * (left - {leaving}))"
    )


def test_a_disk_that_fills_up_still_gets_the_truth(tiny: Path, write: Callable[..., Path], kernels: str) -> None:
    """The space held back serves for the last write; nothing is claimed that did not happen."""
    account = execute(write(_fills(tiny, leaving=0), "1 / 0", "x = 2"), tiny / "out.ipynb")

    assert Account.read(tiny / "out.ipynb") == account
    assert [cell.status for cell in account.cells] == ["ok", "failed", "not_run"]


def test_a_journal_that_cannot_be_written_stops_the_run(tiny: Path, write: Callable[..., Path]) -> None:
    """A cell whose start cannot be made durable is not run."""
    fill = [_fills(tiny, leaving=0), *[f"print({number})" for number in range(40)]]
    with pytest.raises(EngineError, match=r"account\.jsonl cannot be written: No space left") as caught:
        execute(write(*fill), tiny / "out.ipynb")

    account = Account.read(tiny / "out.ipynb")
    assert caught.value.account == account
    assert (account.status, account.cells[-1].status) == ("INCOMPLETE", "not_run")
    assert "No space left" in account.reason


def test_a_disk_full_from_the_start_starts_nothing(tiny: Path, write: Callable[..., Path]) -> None:
    """No kernel runs when the first file cannot be written; nothing stands under the final name."""
    (tiny / "filling").write_bytes(b"x" * (1 << 20))
    seen: list[object] = []
    with pytest.raises(EngineError, match="cannot be written: No space left"):
        execute(write("x = 1"), tiny / "out.ipynb", on_cell=seen.append)
    assert (seen, [path.name for path in tiny.iterdir()]) == ([], ["filling"])


def test_outputs_without_room_are_left_out_and_the_notebook_is_not_complete(
    tiny: Path, write: Callable[..., Path]
) -> None:
    """The status is still written; without its outputs a notebook is INCOMPLETE, though every cell ran."""
    scrap = "{'application/scrapbook.scrap.json+json': {'x': 'y' * 2_000_000}}"  # nothing else so large stays
    show = f"from IPython.display import display\ndisplay({scrap}, raw=True)"
    with pytest.raises(EngineError, match="left out"):
        execute(write(show), tiny / "out.ipynb")
    account = Account.read(tiny / "out.ipynb")
    assert (account.status, account.cells[0].status, account.completed) == ("INCOMPLETE", "ok", False)

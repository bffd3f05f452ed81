"""Outputs are kept to a size: head and tail in the notebook, the whole beside it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from retrain.engine import execute
from retrain.engine.outputs import CellOutputs


def _stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def _display(**data: str) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {name.replace("_", "/"): text for name, text in data.items()}}


@pytest.fixture
def cap(tmp_path: Path) -> Callable[..., tuple[list[dict[str, Any]], list[int]]]:
    """Feed outputs to a cap of 100 characters; return what stays, and where it was."""

    def cap_(*given: dict[str, Any], redact: Callable[[str], str] = lambda text: text) -> Any:
        cell = CellOutputs(tmp_path / "out.cell-1", limit=100, redact=redact)
        outputs: list[dict[str, Any]] = []
        for output in given:
            outputs.append(output)
            cell.add(output, outputs)
        return outputs, cell.finish(outputs)

    return cap_


def test_neighbouring_streams_are_joined_and_positions_told(cap: Callable[..., Any]) -> None:
    """Many small messages are one output; a display keeps its place between them."""
    outputs, kept = cap(_stream("a"), _stream("b"), _display(text_plain="x"), _stream("c"), _stream("d", "stderr"))
    assert [output.get("text") for output in outputs] == ["ab", None, "c", "d"]
    assert kept == [0, 2, 3, 4]


def test_at_the_limit_nothing_is_cut(cap: Callable[..., Any], tmp_path: Path) -> None:
    """The limit itself still fits."""
    outputs, _ = cap(_stream("x" * 60), _stream("y" * 40))
    assert outputs[0]["text"] == "x" * 60 + "y" * 40
    assert list(tmp_path.iterdir()) == []


def test_above_the_limit_head_and_tail_stay(cap: Callable[..., Any], tmp_path: Path) -> None:
    """What is left out is counted, and the whole is in the file the cut names."""
    lines = [f"line {number:03}\n" for number in range(1000)]
    outputs, _ = cap(*map(_stream, lines))
    text = outputs[0]["text"]
    assert text.startswith("line 000\nline 001\n")
    assert text.endswith("line 998\nline 999\n")
    assert len(text) < 250
    assert "the whole is in out.cell-1.txt" in text
    assert (tmp_path / "out.cell-1.txt").read_text() == "".join(lines)
    count = int(text.split("[… ")[1].split(" ")[0].replace(",", ""))
    assert count + len(text.split("\n[…")[0]) + len(text.split("…]\n")[1]) == 9000


def test_one_huge_message_is_cut_too(cap: Callable[..., Any], tmp_path: Path) -> None:
    """A single message over the limit has no lines to cut at."""
    outputs, _ = cap(_stream("x" * 100_000))
    assert 90 < len(outputs[0]["text"]) < 250
    assert (tmp_path / "out.cell-1.txt").stat().st_size == 100_000


def test_large_displays_go_beside(cap: Callable[..., Any], tmp_path: Path) -> None:
    """Text is cut; markup and pictures move out whole; structured data (scraps) stay."""
    picture = base64.b64encode(b"p" * 300).decode()
    outputs, _ = cap(
        _display(text_plain="t" * 300),
        _display(text_html="<p>" * 100, text_plain="short"),
        {"output_type": "display_data", "data": {"image/png": picture}},
        {"output_type": "display_data", "data": {"application/json": "j" * 300}},
    )
    assert outputs[0]["data"]["text/plain"].startswith("t" * 50)
    assert "text/html" not in outputs[1]["data"]
    assert "image/png" not in outputs[2]["data"]
    assert "the whole is in out.cell-1-1.png" in outputs[2]["data"]["text/plain"]
    assert outputs[3]["data"]["application/json"] == "j" * 300
    assert (tmp_path / "out.cell-1-1.png").read_bytes() == b"p" * 300
    assert (tmp_path / "out.cell-1-1.html").read_text() == "<p>" * 100


def test_a_long_traceback_is_cut(cap: Callable[..., Any]) -> None:
    """An error's text counts like any other."""
    outputs, _ = cap({"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["first", "x" * 500, "last"]})
    assert outputs[0]["traceback"][0] == "first"
    assert outputs[0]["traceback"][-1].endswith("last")
    assert sum(map(len, outputs[0]["traceback"])) < 250


def test_secrets_split_over_messages_are_taken_out_of_the_whole(cap: Callable[..., Any], tmp_path: Path) -> None:
    """The redactor sees complete lines, however the text came."""
    cap(_stream("x" * 200 + " hun"), _stream("ter2\n"), redact=lambda text: text.replace("hunter2", "[redacted]"))
    assert "hunter2" not in (tmp_path / "out.cell-1.txt").read_text()


def test_a_cell_that_prints_without_end_leaves_a_small_notebook(write: Callable[..., Path], tmp_path: Path) -> None:
    """End to end: five million characters printed, the notebook small, the whole beside it."""
    source = write("for number in range(500_000): print('%09d' % number)", "x = 1")
    assert execute(source, tmp_path / "out.ipynb", output_limit=10_000).completed

    assert (tmp_path / "out.ipynb").stat().st_size < 30_000
    assert (tmp_path / "out.ipynb.cell-1.txt").stat().st_size == 5_000_000
    text = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[1].outputs[0].text
    assert text.startswith("000000000\n")
    assert text.endswith("000499999\n")


def test_a_display_updated_later_is_found_though_streams_were_joined(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    """nbclient knows displays by their position: it is told of the new one."""
    shows = "from IPython.display import display\nhandle = display('old', display_id=True)"
    execute(write("for n in range(5): print(n, flush=True)\n" + shows, "handle.update('new')"), tmp_path / "out.ipynb")
    outputs = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[1].outputs
    assert outputs[1].data["text/plain"] == "'new'"

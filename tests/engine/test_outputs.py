"""Outputs are kept to a size: head and tail in the notebook, the whole beside it."""

from __future__ import annotations

import base64
import json
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
    """Many small messages are one output; a display keeps its place between them; what is empty goes."""
    given = (_stream("a"), _stream("b"), _stream("", "stderr"), _display(text_plain="x"), _stream("c"), _stream("d"))
    outputs, kept = cap(*given)
    assert [output.get("text") for output in outputs] == ["ab", None, "cd"]
    assert kept == [0, 2, 3]


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
    """Text is cut; markup, pictures and structured data move out whole, what is small beside them stays."""
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
    assert "[text/html, 300 characters, not kept here; the whole is in" in outputs[1]["data"]["text/plain"]
    assert outputs[3]["data"] == {
        "text/plain": "[application/json, 300 characters, not kept here; the whole is in out.cell-1-1.json]"
    }
    assert (tmp_path / "out.cell-1-1.png").read_bytes() == b"p" * 300
    assert (tmp_path / "out.cell-1-1.html").read_text() == "<p>" * 100


def test_a_long_traceback_is_cut(cap: Callable[..., Any]) -> None:
    """An error's text counts like any other."""
    outputs, _ = cap({"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["first", "x" * 500, "last"]})
    assert outputs[0]["traceback"][0] == "first"
    assert outputs[0]["traceback"][-1].endswith("last")
    assert sum(map(len, outputs[0]["traceback"])) < 250


@pytest.mark.parametrize(
    ("mime", "content", "suffix", "whole"),
    [
        ("application/json", {"a": ["é" * 300]}, "json", json.dumps({"a": ["é" * 300]}, ensure_ascii=False)),
        ("application/json", ["x" * 99, "y" * 99], "json", json.dumps(["x" * 99, "y" * 99])),
        ("application/vnd.plotly.v1+json", {"data": [1] * 300}, "json", json.dumps({"data": [1] * 300})),
        ("application/javascript", "alert(1);" * 99, "js", "alert(1);" * 99),
        ("application/x-anything", ["x" * 99, "y" * 99], "txt", "x" * 99 + "y" * 99),
        ("application/pdf", base64.b64encode(b"%PDF" * 99).decode(), "pdf", "%PDF" * 99),
        ("application/papermill.record+json", {"a": "x" * 300}, "json", json.dumps({"a": "x" * 300})),
        ("x" * 300, "small", "txt", "small"),
    ],
)
def test_whatever_is_shown_goes_beside_where_it_is_large(
    cap: Callable[..., Any], tmp_path: Path, mime: str, content: Any, suffix: str, whole: str
) -> None:
    """Of any type, in whichever form a kernel sends it; also where it is the type's name that is large."""
    outputs, _ = cap({"output_type": "display_data", "data": {mime: content}, "metadata": {}})
    assert set(outputs[0]["data"]) == {"text/plain"}
    assert f"the whole is in out.cell-1-1.{suffix}]" in outputs[0]["data"]["text/plain"]
    assert len(outputs[0]["data"]["text/plain"]) < 250
    assert (tmp_path / f"out.cell-1-1.{suffix}").read_text() == whole


def test_a_scrap_stays_whole(cap: Callable[..., Any], tmp_path: Path) -> None:
    """The decision record reads it, and half of one is worth nothing."""
    scrap = {"application/scrapbook.scrap.json+json": {"name": "facts", "data": {"a": "x" * 300}}}
    shown = {"output_type": "display_data", "data": dict(scrap), "metadata": {"scrapbook": {"name": "facts"}}}
    outputs, _ = cap(shown)
    assert outputs[0] == {**shown, "data": scrap}
    assert list(tmp_path.iterdir()) == []


def test_what_comes_with_a_display_goes_beside_too(cap: Callable[..., Any], tmp_path: Path) -> None:
    """Metadata are shown by nobody and are as large as a kernel makes them; what fits stays."""
    outputs, _ = cap(
        {**_display(text_plain="x"), "metadata": {"a": "m" * 300}}, {**_display(text_plain="y"), "metadata": {"a": 1}}
    )
    assert outputs[0]["metadata"] == {}
    told = "[metadata, 309 characters, not kept here; the whole is in out.cell-1-1.json]"
    assert outputs[0]["data"]["text/plain"] == f"x\n{told}"
    assert json.loads((tmp_path / "out.cell-1-1.json").read_text()) == {"a": "m" * 300}
    assert outputs[1]["metadata"] == {"a": 1}


def test_text_in_lines_is_kept_with_what_was_left_out(cap: Callable[..., Any]) -> None:
    """As notebooks hold it: a list of lines is one text."""
    outputs, _ = cap({"output_type": "display_data", "data": {"text/plain": ["a\n", "b"], "text/html": "<p>" * 100}})
    assert outputs[0]["data"]["text/plain"].startswith("a\nb\n[text/html, 300 characters, ")


def test_an_error_s_name_and_words_are_cut(cap: Callable[..., Any], tmp_path: Path) -> None:
    """They stand beside the traceback, and in the account; the whole is beside, a secret in it is in neither."""
    error = {"output_type": "error", "ename": "E" * 300, "evalue": "v" * 97 + "hunter2" + "w" * 300, "traceback": []}
    outputs, _ = cap(error, redact=_without)
    assert len(outputs[0]["ename"]) < 200
    assert len(outputs[0]["evalue"]) < 200
    assert outputs[0]["evalue"].startswith("v" * 49)
    assert "the whole is in out.cell-1-2.txt" in outputs[0]["evalue"]
    assert (tmp_path / "out.cell-1-2.txt").read_text() == "v" * 97 + "[redacted]" + "w" * 300


def test_where_no_room_is_left_only_the_cut_is(cap: Callable[..., Any], tmp_path: Path) -> None:
    """A limit too small for a share of a thousandth leaves head and tail of nothing, not the whole."""
    outputs, _ = cap(_display(text_plain="x" * 100), _display(text_plain="y" * 90))
    assert outputs[1]["data"]["text/plain"].strip().startswith("[… 90 characters left out")
    assert (tmp_path / "out.cell-1-1.txt").read_text() == "y" * 90


def _without(text: str) -> str:
    return text.replace("hunter2", "[redacted]")


@pytest.mark.parametrize("at", range(1, 7))
@pytest.mark.parametrize("before", [0, 47, 48, 93, 96, 97, 200])
@pytest.mark.parametrize("after", [0, 46, 47, 300])
def test_a_secret_split_over_messages_is_found_wherever_the_text_is_cut(
    cap: Callable[..., Any], tmp_path: Path, at: int, before: int, after: int
) -> None:
    """Not a part of it stands in the notebook nor in the whole, also where head or tail would begin or end in it."""
    head, tail = "hunter2"[:at], "hunter2"[at:]
    outputs, _ = cap(_stream("x" * before + head), _stream(tail), _stream("y" * after, "stderr"), redact=_without)
    told = "".join(output["text"] for output in outputs)
    whole = "".join(path.read_text() for path in tmp_path.iterdir())
    for text in (_without(told), whole):
        assert not [part for part in ("hun", "unt", "nte", "ter", "er2") if part in text.replace("characters", "")]


def test_a_secret_of_which_other_outputs_show_between_the_parts_is_put_together(cap: Callable[..., Any]) -> None:
    """What one stream said in parts is read as one; without a secret in it the parts keep their places."""

    def parts() -> list[dict[str, Any]]:
        return [_stream("a hun"), _stream("!", "stderr"), _stream("te"), _display(text_plain="x"), _stream("r2 b")]

    outputs, kept = cap(*parts(), redact=_without)
    assert ([output.get("text") for output in outputs], kept) == (["a hunter2 b", "!", None], [0, 1, 3])
    assert [output.get("text") for output in cap(*parts())[0]] == ["a hun", "!", "te", None, "r2 b"]


def test_the_whole_is_free_of_a_secret_at_the_edge_of_a_block(tmp_path: Path) -> None:
    """It is written in blocks; each begins where nothing is left that the next could complete."""
    for before in range(131_060, 131_076):
        whole = CellOutputs(tmp_path / f"{before}", limit=100, redact=_without)
        outputs: list[dict[str, Any]] = []
        for text in ("x" * before, "hunt", "er2", "\n" + "y" * 200_000):
            outputs.append(_stream(text))
            whole.add(outputs[-1], outputs)
        whole.finish(outputs)
        assert (tmp_path / f"{before}.txt").read_text() == "x" * before + "[redacted]\n" + "y" * 200_000


def test_what_is_written_while_the_cell_runs_is_as_short_and_as_clean(cap: Callable[..., Any], tmp_path: Path) -> None:
    """A notebook saved in between shows head and tail already; going on from there loses nothing."""
    cell = CellOutputs(tmp_path / "out.cell-1", limit=100, redact=_without)
    outputs: list[dict[str, Any]] = []
    for number in range(30):
        outputs.append(_stream(f"line {number:03} hunt"))
        cell.add(outputs[-1], outputs)
        cell.settle(outputs)
        assert len(outputs) == 1
        assert len(outputs[0]["text"]) < 250
        outputs.append(_stream("er2\n"))
        cell.add(outputs[-1], outputs)
    cell.finish(outputs)
    assert outputs[0]["text"].startswith("line 000 [redacted]\n")
    assert (tmp_path / "out.cell-1.txt").read_text() == "".join(f"line {n:03} [redacted]\n" for n in range(30))


def test_a_notebook_that_clears_its_output_begins_anew(cap: Callable[..., Any], tmp_path: Path) -> None:
    """What fits after the clearing is kept whole; the file beside keeps all there was."""
    cell = CellOutputs(tmp_path / "out.cell-1", limit=100, redact=str)
    outputs: list[dict[str, Any]] = []
    for text in ("a" * 150, "b" * 50):
        outputs[:] = [_stream(text)]
        cell.add(outputs[0], outputs)
    outputs.append(_display(text_plain="c" * 90))
    cell.add(outputs[-1], outputs)
    cell.finish(outputs)
    assert outputs == [_stream("b" * 50), _display(text_plain="c" * 90)]
    assert (tmp_path / "out.cell-1.txt").read_text() == "a" * 150


def test_a_display_updated_without_end_counts_as_it_is_last(cap: Callable[..., Any], tmp_path: Path) -> None:
    """Each update is held to the limit, its whole goes to the one file of that display, and room is given back."""
    cell = CellOutputs(tmp_path / "out.cell-1", limit=100, redact=_without)
    shown = _display(text_plain="new")
    cell.add(shown, [shown])
    for number in range(1000):
        shown["data"] = {"text/plain": f"{number:03}" + "x" * 300 + "hunter2", "text/html": "<p>" * 100}
        cell.update(shown)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.cell-1-1.html", "out.cell-1-1.txt"]
    assert (tmp_path / "out.cell-1-1.txt").read_text() == "999" + "x" * 300 + "[redacted]"
    shown["data"] = {"text/plain": "small"}
    cell.update(shown)
    second = _display(text_plain="y" * 95)
    cell.add(second, [shown, second])
    assert (shown["data"]["text/plain"], second["data"]["text/plain"]) == ("small", "y" * 95)


def test_many_large_displays_share_one_limit(cap: Callable[..., Any], tmp_path: Path) -> None:
    """The first fills it; of each later one head and tail of a thousandth are left, and the whole is beside."""
    cell = CellOutputs(tmp_path / "out.cell-1", limit=10_000, redact=str)
    outputs: list[dict[str, Any]] = []
    for number in range(50):
        outputs.append(_display(text_plain=f"{number:02}" + "z" * 20_000))
        cell.add(outputs[-1], outputs)
    assert sum(len(output["data"]["text/plain"]) for output in outputs) < 20_000
    assert outputs[-1]["data"]["text/plain"].startswith("49zz")
    assert len(list(tmp_path.iterdir())) == 50


def test_without_a_place_for_the_whole_it_is_only_cut() -> None:
    """A notebook kept in memory has nothing beside it; the cut names no file."""
    cell = CellOutputs(None, limit=100, redact=str)
    outputs = [_stream("x" * 300)]
    cell.add(outputs[0], outputs)
    outputs.append({"output_type": "display_data", "data": {"image/png": ["not base64 " * 10, "x" * 100]}})
    cell.add(outputs[1], outputs)
    cell.finish(outputs)
    assert "[… 200 characters left out …]" in outputs[0]["text"]
    assert outputs[1]["data"] == {"text/plain": "[image/png, 210 characters, not kept here]"}


def test_a_picture_that_is_no_base64_is_kept_as_it_came(cap: Callable[..., Any], tmp_path: Path) -> None:
    """What a kernel calls a picture need not be one."""
    cap({"output_type": "display_data", "data": {"image/png": "é" * 101}})
    assert (tmp_path / "out.cell-1-1.png").read_text() == "é" * 101


def test_a_picture_that_holds_a_secret_is_not_decoded(cap: Callable[..., Any], tmp_path: Path) -> None:
    """In base64 the redactor knows it; decoded it would stand there in the clear."""
    spelled = base64.b64encode(b"hunter2").decode()
    cap(
        {"output_type": "display_data", "data": {"image/png": spelled * 20}},
        redact=lambda text: text.replace(spelled, "[redacted]"),
    )
    assert (tmp_path / "out.cell-1-1.png").read_text() == "[redacted]" * 20


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


def test_updates_are_capped_in_whatever_cell_they_come(write: Callable[..., Path], tmp_path: Path) -> None:
    """End to end: many updates, the last ones huge and from a later cell; the notebook stays small."""
    shows = "from IPython.display import display\nhandle = display('old', display_id='one')\n"
    cells = (
        shows + "for number in range(300): handle.update(number)",
        "for number in range(20): handle.update('%03d' % number + 'x' * 100_000)",
        "display('last', display_id='one')",
    )
    for count in (1, 2, 3):
        assert execute(write(*cells[:count]), tmp_path / f"{count}.ipynb", output_limit=1000).completed
    shown = [
        nbformat.read(tmp_path / f"{count}.ipynb", as_version=4).cells[1].outputs[0].data["text/plain"]
        for count in (1, 2, 3)
    ]
    assert (shown[0], shown[2]) == ("299", "'last'")
    assert shown[1].startswith("'019xxx")
    assert len(shown[1]) < 1200
    assert "the whole is in 2.ipynb.cell-1-1.txt" in shown[1]
    assert (tmp_path / "2.ipynb.cell-1-1.txt").read_text() == f"'019{'x' * 100_000}'"
    assert len(list(tmp_path.glob("2.ipynb*"))) == 3


@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError('x' * 3_000_000)",
        "raise type('x' * 3_000_000, (Exception,), {})",
        "import sys; sys.exit('x' * 3_000_000)",
        "from IPython.display import display\ndisplay({'application/json': {'a': 'x' * 3_000_000}}, raw=True)",
        "from IPython.display import display\ndisplay({'text/plain': 'x'}, raw=True, metadata={'a': 'x' * 3_000_000})",
    ],
    ids=["words", "name", "exit", "JSON", "metadata"],
)
def test_whatever_a_cell_says_the_notebook_and_its_account_stay_small(
    write: Callable[..., Path], tmp_path: Path, source: str
) -> None:
    """End to end: an entry of the record can hold the reason, and a reviewer can open the notebook."""
    account = execute(write(source), tmp_path / "out.ipynb", output_limit=100_000)
    assert len(account.reason) <= 2000
    assert (tmp_path / "out.ipynb").stat().st_size < 250_000
    assert (tmp_path / "out.ipynb.account.jsonl").stat().st_size < 10_000
    assert sum(path.stat().st_size for path in tmp_path.glob("out.ipynb.cell-1*")) >= 3_000_000
    nbformat.validate(nbformat.read(tmp_path / "out.ipynb", as_version=4))

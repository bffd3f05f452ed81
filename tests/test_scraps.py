"""What cells glue is read by scrapbook, and by the decision record without it: both read the same."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import nbformat
import pytest
import scrapbook
from nbformat import v4

from retrain import notebook
from retrain.steps import decision_record


def executed(path: Path, glued: list[tuple[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a notebook whose cells glued this, each in a cell of its own."""
    shown: list[Any] = []

    def display(data: Any, *, metadata: Any, raw: bool) -> None:
        shown.append(v4.new_output("display_data", data, metadata=metadata))  # type: ignore[no-untyped-call]

    monkeypatch.setattr(notebook, "display", display)
    for name, data in glued:
        notebook.glue(name, data)
    cells = [v4.new_markdown_cell("# Title"), *(v4.new_code_cell("x", outputs=[output]) for output in shown)]
    nbformat.write(v4.new_notebook(cells=cells), path)


def test_the_verdicts_are_those_that_scrapbook_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one counts where a name was glued twice; a notebook without a verdict is not told of."""
    first, second = {"outcome": "retrain", "n": 1.5}, {"outcome": "no_action", "n": None}
    executed(tmp_path / "01.ipynb", [("facts", {"a": 1}), ("verdict", first), ("verdict", second)], monkeypatch)
    executed(tmp_path / "02.ipynb", [("verdict", first), ("policy", {"a": 1})], monkeypatch)
    executed(tmp_path / "10.ipynb", [("facts", {"a": 1})], monkeypatch)
    run = cast("notebook.Run", SimpleNamespace(folder=SimpleNamespace(path=tmp_path)))
    read = scrapbook.read_notebooks(str(tmp_path)).notebooks
    theirs = {each.filename: each.scraps["verdict"].data for each in read if "verdict" in each.scraps}
    assert decision_record.scraps(run) == theirs == {"01.ipynb": second, "02.ipynb": first}


@pytest.mark.parametrize(
    "text",
    [
        *("", '{"cells": [', '{"nbformat": 4}', "[]", '{"cells": [1]}', '{"cells": [{"outputs": 1}]}'),
        '{"cells": [{"outputs": [{"data": {"application/scrapbook.scrap.json+json": {"data": 1}}}]}]}',
    ],
)
def test_a_file_that_is_no_whole_notebook_holds_no_verdict(text: str, tmp_path: Path) -> None:
    """So the decision record says that it holds none, though the record does."""
    (tmp_path / "01.ipynb").write_text(text, encoding="utf-8")
    run = cast("notebook.Run", SimpleNamespace(folder=SimpleNamespace(path=tmp_path)))
    assert decision_record.scraps(run) == {}

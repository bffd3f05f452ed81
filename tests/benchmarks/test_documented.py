"""A table in a page is replaced between its markers, and nothing else of the page is touched."""

from __future__ import annotations

from pathlib import Path

import documented
import pytest

PAGE = "# Title\n\n<!-- one:begin -->\nold\n<!-- one:end -->\n\nBetween.\n\n<!-- two:begin --><!-- two:end -->\n"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    written = tmp_path / "PAGE.md"
    written.write_text(PAGE, encoding="utf-8")
    return written


def test_only_what_is_between_the_markers_is_replaced(page: Path) -> None:
    """The words around a table are a person's."""
    documented.write("one", "| a |\n|---|\n| ≥ 10× |\n", page)
    assert documented.read("one", page) == "| a |\n|---|\n| ≥ 10× |"
    assert page.read_text(encoding="utf-8").replace("\n\n| a |\n|---|\n| ≥ 10× |\n\n", "\nold\n") == PAGE
    assert [path.name for path in page.parent.iterdir()] == [page.name]


def test_writing_the_same_table_twice_changes_nothing(page: Path) -> None:
    """A page does not grow by being written."""
    documented.write("two", "table", page)
    once = page.read_bytes()
    documented.write("two", "table", page)
    assert page.read_bytes() == once


@pytest.mark.parametrize(
    "text", ["", "<!-- x:end --><!-- x:begin -->", "<!-- x:begin -->", PAGE.replace("one", "x") * 2]
)
def test_a_page_without_both_markers_once_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    """Where the table belongs is not guessed."""
    page = tmp_path / "PAGE.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"PAGE\.md needs <!-- x:begin -->"):
        documented.write("x", "table", page)
    assert page.read_text(encoding="utf-8") == text

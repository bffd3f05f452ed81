"""What a service, a warehouse or a person said is shown as it is written: no tag, no heading, no link, no formula."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from nbconvert.filters.markdown import markdown2html

from retrain import notebook, pictures, tables
from retrain.engine import Account, banner
from retrain.engine.account import Status
from retrain.facts import FeatureDrift
from retrain.literal import literal
from sections import test_round_trips as drawn
from sections.test_round_trips import OUTCOMES, RELAXED, facts_of, name_of

HOSTILE = (
    "<img src=x onerror=alert(1)>", "</td></table><script>alert(1)</script>", "<https://evil.example>", "<!-- hidden",
    "# **All checks PASS**", "\n\n# heading\n", "\u2028# heading", "[a](javascript:alert(1))", "![x](http://evil/x)",
    "[ref]: http://evil", "| a | b |", "| --- |", "`code`", "```\ncode", "    code", "- item", "+ item", "1. item",
    "---", "***", "___", "===", "> quote", "~~gone~~", "&lt;script&gt;", "&amp;", "\\", "\\*a\\*", "$x$",
    "$$\\frac{1}{2}$$", r"\(x\)", r"\[x\]", r"\begin{equation}x\end{equation}", "https://evil.example/a_b",
    "www.evil.example", "_a_", "__a__", "*a*", "\u202egnp.exe", "\x1b[31mred\x00", "[^1]", "[ ] task", ": term", "<a",
    "<?php", "\"q\" 'q'", "@@0@@", "/etc/hostname",
)  # fmt: skip
OURS = {"p", "strong", "em", "span", "table", "thead", "tbody", "tr", "th", "td", "h3", "code", "blockquote"}
"""What our own Markdown renders to."""

ROOT = Path(__file__).parents[1]
RENDERED = ("nbconvert", "markdown-it")
RENDERERS = pytest.mark.parametrize("render", RENDERED)
UNSEEN = {
    "[ ] task", "<a", "\u2028# heading", "\"q\" 'q'", "\\", "<!-- hidden", "/etc/hostname", "===", "www.evil.example",
    "<?php", "[^1]", "@@0@@",
}  # fmt: skip
"""Means nothing to these two renderers, or nothing alone; a browser and JupyterLab's own, not run here, know others."""
_MATH = re.compile(r"\$|\\\(|\\\[|\\begin")


class Page(HTMLParser):
    """A rendered page: its tags with what is in them, and the texts that stand beside each other without a tag."""

    def __init__(self, render: str, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        commonmark = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
        self.feed(markdown2html(source) if render == "nbconvert" else commonmark.render(source))
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.tags.append(("<!--", {}))

    def handle_decl(self, decl: str) -> None:
        self.tags.append(("<!", {}))

    def handle_pi(self, data: str) -> None:
        self.tags.append(("<?", {}))

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).replace("¶", " ").split())

    def complaints(self) -> Iterator[str]:
        """Yield what is on the page that is not ours: other tags, attributes, and what MathJax would take up."""
        for tag, attributes in self.tags:
            anchor = tag == "a" and attributes.get("class") == "anchor-link"  # nbconvert's own, beside a heading
            if tag not in OURS and not anchor:
                yield f"<{tag}>"
            if not anchor and set(attributes) - {"style", "id"}:
                yield f"<{tag} {attributes}>"
        for text in self.texts:
            if len(text) > 1 and _MATH.search(text):
                yield f"math: {text}"


def readable(text: str) -> str:
    """What should be read of a text: its printable characters, in one line."""
    return "".join(one if one.isprintable() else "\ufffd" for one in " ".join(text.split()))


@RENDERERS
@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize(
    "frame", ["{}", "| a | b |\n| --- | --- |\n| {} | x |", "### Verdict: **x{}x**", "> **x**: {}"]
)
def test_a_text_is_read_as_it_is_written_wherever_it_stands(render: str, hostile: str, frame: str) -> None:
    page = Page(render, frame.format(literal(hostile)))
    assert list(page.complaints()) == []
    assert readable(hostile) in page.text.replace("x" + readable(hostile) + "x", readable(hostile))
    assert sum(tag == "h3" for tag, _ in page.tags) == frame.startswith("###")
    assert sum(tag in ("strong", "em", "code") for tag, _ in page.tags) == frame.count("**") // 2


@RENDERERS
@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("<>&\"'`*_[]()#~|!$\\-+=:/.@{} \n\t1ahtpsw") | st.characters(codec="utf-8")))
def test_any_text_is_read_as_it_is_written(render: str, text: str) -> None:
    page = Page(render, literal(text))
    assert list(page.complaints()) == []
    assert {tag for tag, _ in page.tags} <= {"p", "span"}
    assert page.text == " ".join(readable(text).replace("¶", " ").split())


def test_as_they_come_they_are_another_page() -> None:
    """Control: all but these few lay out or link something, are hidden, or read otherwise, if nobody escapes them."""
    frames = ("{}", "| a | b |\n| --- | --- |\n| {} | x |", "above\n\n{}\n\nbelow")
    unseen = {
        hostile
        for hostile in HOSTILE
        for pages in [[Page(render, frame.format(hostile)) for render in RENDERED for frame in frames]]
        if not any(list(page.complaints()) or readable(hostile) not in page.text for page in pages)
    }
    assert unseen == UNSEEN


HOSTILE_OR_KNOWN = st.sampled_from([*HOSTILE, "ready", "passed", "staged", "completed", "v1", "v2", "P1"])


@pytest.fixture(scope="module", autouse=True)
def hostile_words() -> Iterator[None]:
    """Let every text field of the facts that are drawn hold one of these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(drawn.PLAIN, str, HOSTILE_OR_KNOWN)
        patch.setitem(drawn.PLAIN, Any, HOSTILE_OR_KNOWN)
        yield


@pytest.mark.parametrize("section", OUTCOMES, ids=name_of)
@RELAXED
@given(data=st.data())
def test_a_verdict_on_hostile_facts_is_our_page_alone(section: Any, data: Any) -> None:
    """Sentence, checks, evidence and what would have flipped it, as a notebook shows them and as the last one does."""
    facts = data.draw(facts_of(section))
    verdict = section.decide(facts, section.Policy())
    for render in RENDERED:
        page = Page(render, tables.verdict(verdict))
        assert list(page.complaints()) == []
        assert sum(tag == "h3" for tag, _ in page.tags) == 1
        assert readable(verdict.sentence) in page.text
        assert readable(verdict.flip) in page.text
        again = Page(render, tables.checked(verdict))
        assert list(again.complaints()) == []
        for check in verdict.checks[:50]:
            assert readable(check.reason) in page.text
            assert readable(check.reason) in again.text


@pytest.mark.parametrize("section", OUTCOMES, ids=name_of)
@RELAXED
@given(data=st.data())
def test_a_table_of_hostile_facts_is_our_page_alone(section: Any, data: Any) -> None:
    """Also where their names are somebody else's: a request's fields, a service's classes."""
    facts = data.draw(facts_of(section)).model_dump()
    rows = [facts, {name: value for name, value in facts.items() if value}]
    named = [{str(value): value for value in facts.values() if isinstance(value, str)}]
    for render in RENDERED:
        for told in (rows, named):
            assert list(Page(render, tables.table(told)).complaints()) == []


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Markdown that a notebook displays."""
    found: list[str] = []

    def display(value: Any, **more: Any) -> Any:
        found.append(value.data)
        return SimpleNamespace(update=lambda later: found.append(later.data))

    monkeypatch.setattr(notebook, "display", display)
    return found


@RENDERERS
@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_a_cell_shows_is_our_page_alone(shown: list[str], render: str, hostile: str) -> None:
    """As a text with the hold-out of a service in it, as rows, as rows that there are none of, and live."""
    notebook.show(f"Hold-out: {hostile}")
    notebook.show([{"error": hostile, hostile: 1}])
    notebook.show([], empty=hostile)
    notebook.live()(hostile)
    assert len(shown) == 5
    for source in shown:
        assert list(Page(render, source).complaints()) == []


@pytest.mark.parametrize("told", [lambda there: str(there), lambda there: f"http://127.0.0.1:9/{there.name}"])
def test_a_text_that_is_an_address_or_a_path_is_neither_fetched_nor_read(
    shown: list[str], tmp_path: Path, told: Callable[[Path], str]
) -> None:
    """IPython's own Markdown would do that with a text that is nothing else."""
    (tmp_path / "there").write_text("secret")
    notebook.show(told(tmp_path / "there"))
    notebook.live()(told(tmp_path / "there"))
    for source in shown[0], shown[2]:
        assert Page("nbconvert", source).text == told(tmp_path / "there")


def test_there_is_one_door_to_what_ipython_lays_out() -> None:
    """Whoever opens another has to think of what goes through it."""
    lines = [line.strip() for path in (ROOT / "lib").rglob("*.py") for line in path.read_text().splitlines()]
    found = [line for line in lines if re.search(r"\b(Markdown|HTML|SVG|Latex|Math|Javascript|IFrame)\(", line)]
    assert found == ['page = Markdown("")']


@RENDERERS
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_banner_is_ours_whatever_an_error_says(render: str, hostile: str) -> None:
    page = Page(render, banner.text(Account(Status.FAILED, f"cell 1 raised E: {hostile}", 1, ())))
    assert list(page.complaints()) == []
    assert page.text.startswith("✘ FAILED: cell 1 raised")


@RENDERERS
@pytest.mark.parametrize("hostile", HOSTILE)
def test_the_top_of_a_notebook_is_ours_whatever_a_person_or_a_place_outside_says(
    shown: list[str], monkeypatch: pytest.MonkeyPatch, render: str, hostile: str
) -> None:
    """Who acts, what is in force, and warnings of places outside stand there before anything else."""
    policy = SimpleNamespace(**dict.fromkeys(("schedule", "label_delay_days"), hostile))
    opened = {"now": "2013-06-09T00:00:00+00:00", "commit": hostile, "dirty": True}
    folder = SimpleNamespace(
        settings=SimpleNamespace(sandbox=None, environment=hostile, digest=hostile),
        opened=opened, model=hostile, run_id=hostile, verdicts=lambda: (),
    )  # fmt: skip
    joined = SimpleNamespace(folder=folder, warnings=(f"{hostile}: no answer",), ledger=SimpleNamespace(append=print))
    monkeypatch.setattr(notebook, "join", lambda *_: joined)
    monkeypatch.setattr(notebook, "_policy", lambda *_: (policy, [hostile]))
    monkeypatch.setattr(notebook, "FILE_ONLY", {"when_to_retrain": ("schedule", "label_delay_days")})
    monkeypatch.setattr(notebook, "actor", lambda: hostile)
    monkeypatch.setattr(notebook.environment, "clock", lambda _: notebook.environment.EnvironmentClock())
    monkeypatch.setattr(notebook.Run, "say", lambda *_, **__: None)
    notebook.start("when_to_retrain", {})
    page = Page(render, shown[-1])
    assert list(page.complaints()) == []
    assert readable(f"{hostile}: no answer") in page.text


@pytest.mark.parametrize("name", [*HOSTILE, "$\\frac{", "_hidden"])
def test_a_column_s_name_is_drawn_as_it_is_written(name: str) -> None:
    """matplotlib would set it as a formula, or fail over one that is none."""
    drift = [FeatureDrift(feature=name, psi=1.2, reference_rows=1000, current_rows=900)]
    picture = pictures.psi_by_feature(drift, aggregate=1.2, ceiling=0.3)
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert pictures.psi_over_time({name: []}, ceiling=0.3)._repr_png_().startswith(b"\x89PNG")
    assert name in repr(picture), "a text is no markup"

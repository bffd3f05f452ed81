"""What a kernel says holds no secret, whoever listens: here nbclient's own client with jupyter's own kernel."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from retrain.redaction import Secrets
from retrain.redaction.kernel import guard

CANARY = 'cAn4ry/q"ü-9z4'
GUARD = """
from retrain.redaction import Secrets
from retrain.redaction.kernel import guard
for number in range(2):
    secrets = Secrets()
    secrets.register(c if not number else c[::-1], f"S{number}")
    guard(get_ipython().kernel.session, secrets)
"""
CHANNELS = {
    "stdout": "print(c)",
    "stderr": "import sys; print(c, file=sys.stderr)",
    "a logger": "import logging; logging.warning(c)",
    "a child's output": "import subprocess; subprocess.run(['echo', c], check=True)",
    "a shell escape": "!echo {c!r}",
    "a result": "{c: [c]}",
    "a display": "from IPython.display import HTML, display; display(HTML(f'<b>{c}</b>'))",
    "a display's metadata": "display({'text/plain': 'x'}, raw=True, metadata={'k': c})",
    "an update": "h = display('x', display_id=True); h.update({'text/html': c}, raw=True)",
    "a traceback": "raise ValueError(c)",
    "a traceback's source": f"1 / 0  # {CANARY}",
    "a warning": "import warnings; warnings.warn(c)",
    "in pieces": "for at in range(len(c)): print(c[at], end='', flush=True)",
    "in pieces, with others between": "import sys\nfor one in c: print(one, end='', flush=True); display('x')",
    "the second one known": "print(c[::-1])",
}


def _executed(*, guarded: bool) -> dict[str, str]:
    """Return what each channel's cell said, as a file keeps it, with the pieces of one stream put together."""
    begin = f"c = bytes.fromhex({CANARY.encode().hex()[::-1]!r}[::-1]).decode()\n" + (GUARD if guarded else "")
    cells = [new_code_cell(source, metadata={"tags": ["raises-exception"]}) for source in CHANNELS.values()]
    notebook = new_notebook(cells=[new_code_cell(begin), *cells])
    NotebookClient(notebook, kernel_name="python3").execute()
    return {channel: _said(cell.outputs) for channel, cell in zip(CHANNELS, cells, strict=True)}


def _said(outputs: list[Any]) -> str:
    streams = ["".join(one.text for one in outputs if one.get("name") == name) for name in ("stdout", "stderr")]
    return json.dumps([outputs, streams], ensure_ascii=False)


@pytest.fixture(scope="module")
def said() -> dict[bool, dict[str, str]]:
    """What the cells said with a guard (True) and without."""
    return {guarded: _executed(guarded=guarded) for guarded in (True, False)}


@pytest.mark.parametrize("channel", CHANNELS)
def test_nothing_that_a_cell_says_holds_a_secret(channel: str, said: dict[bool, dict[str, str]]) -> None:
    """Each channel shows the canary where nobody stands guard, and its name in its place where somebody does."""
    known = Secrets()
    known.register(CANARY, "S0")
    known.register(CANARY[::-1], "S1")
    assert known.found_in(said[False][channel].encode())
    assert known.found_in(said[True][channel].encode()) == []
    assert "[redacted:S" in said[True][channel]


class _Session:
    """A session that remembers what it was told to send."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def msg(self, kind: str, **around: Any) -> dict[str, Any]:
        parent = around.get("parent") or {}
        return {
            "header": {"msg_type": kind},
            "parent_header": parent,
            "content": around["content"] or {},
            "metadata": around.get("metadata") or {},
        }

    def send(self, stream: Any, message: dict[str, Any], **more: Any) -> dict[str, Any]:
        self.sent.append(message)
        return message


@pytest.fixture
def session() -> _Session:
    secrets = Secrets()
    secrets.register("idle-hands", "S0")
    secrets.register("stdout", "S1")
    session = _Session()
    guard(session, secrets)
    return session


CELL = {"msg_type": "execute_request"}


def _told(session: _Session) -> list[Any]:
    return [message["content"].get("text", message["header"]["msg_type"]) for message in session.sent]


def test_what_may_be_the_beginning_of_a_secret_waits_for_the_rest(session: _Session) -> None:
    """It goes out with the next text, or before the cell is told to be idle; nothing else is kept back."""
    for text in ("a idle-", "handy ", "b id", "", "x idle-hand"):
        session.send(None, "stream", {"name": "stdout", "text": text}, parent=CELL)
    assert _told(session) == ["a ", "idle-handy ", "b ", "idx "]
    session.send(None, "status", {"execution_state": "idle"}, parent={"msg_type": "usage_request"})
    session.send(None, "status", {"execution_state": "busy"}, parent=CELL)
    assert _told(session)[4:] == ["status", "status"]
    session.send(None, "status", {"execution_state": "idle"}, parent=CELL)
    assert _told(session)[6:] == ["idle-hand", "status"]


def test_the_words_of_the_protocol_stay(session: _Session) -> None:
    """A secret that happens to be one of them breaks no message; the text beside them is redacted."""
    session.send(None, "stream", {"name": "stdout", "text": "stdout!"}, parent=CELL)
    session.send(None, "comm_open", {"comm_id": "stdout", "target_name": "stdout", "data": {"x": "stdout"}})
    assert session.sent[0]["content"] == {"name": "stdout", "text": "[redacted:S1]!"}
    assert session.sent[1]["content"] == {"comm_id": "stdout", "target_name": "stdout", "data": {"x": "[redacted:S1]"}}


def test_a_second_guard_knows_what_the_first_knew(session: _Session) -> None:
    """Sections that follow one another in one kernel add to each other; there is one guard."""
    more = Secrets()
    more.register("second-value", "S2")
    guard(session, more)
    session.send(None, "display_data", {"data": {"text/plain": "second-value idle-hands"}})
    assert [message["content"]["data"]["text/plain"] for message in session.sent] == ["[redacted:S2] [redacted:S0]"]

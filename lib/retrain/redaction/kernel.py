"""Keeps secrets in a kernel: whatever it sends, by whichever channel, is looked at before it leaves.

Everything a kernel says goes through its session's ``send``: what cells print and show, tracebacks, replies, widgets.
So that one method is put in front. A value that is printed in pieces is found too: the end of a text that may be the
beginning of a value is kept back until more comes or the cell has ended; that holds for a value as it is, not for its
other spellings. What a program does not say through the kernel (a file that it writes, a request that it sends) is not
seen here, nor is a value that is drawn in a picture.
"""

from __future__ import annotations

from typing import Any

from retrain.redaction.redactor import Secrets

__all__ = ["guard"]

_OF_THE_PROTOCOL = {"name", "status", "execution_state", "comm_id", "target_name", "target_module", "transient"}
_STREAMS = ("stdout", "stderr")
Message = dict[str, Any]


def guard(session: Any, secrets: Secrets) -> None:
    """Take ``secrets`` out of all that ``session`` (a kernel's ``jupyter_client.session.Session``) sends from now on.

    Called again for the same session it adds to what is known there.
    """
    there = getattr(session.send, "__self__", None)
    if isinstance(there, _Guard):
        there.secrets.append(secrets)
    else:
        session.send = _Guard(session, secrets).send


class _Guard:
    """Stands in front of a session's ``send``, with the same signature."""

    def __init__(self, session: Any, secrets: Secrets) -> None:
        self.secrets = [secrets]
        self._message = session.msg
        self._send = session.send
        self._held: dict[str, tuple[Any, Message, Any]] = {}

    def send(
        self,
        stream: Any,
        msg_or_type: Message | str,
        content: Message | None = None,
        parent: Any = None,
        ident: Any = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Message | None = None,
    ) -> Message | None:
        message = (
            self._message(msg_or_type, content=content, parent=parent, header=header, metadata=metadata)
            if isinstance(msg_or_type, str)
            else msg_or_type
        )
        kind, said = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            return self._stream(stream, message, ident)
        if kind == "status" and said["execution_state"] == "idle" and _of_a_cell(message):
            self._release()
        told = {**message, "content": self._content(said), "metadata": self._value(message["metadata"])}
        sent: Message | None = self._send(stream, told, ident=ident, buffers=buffers, track=track)
        return sent

    def _stream(self, stream: Any, message: Message, ident: Any) -> Message:
        said = message["content"]
        held = self._held.pop(said["name"], None)
        text = self._value(("" if held is None else held[1]["content"]["text"]) + said["text"])
        end = len(text) - max(secrets.begun_at_the_end(text) for secrets in self.secrets)
        if end < len(text):
            rest = {**message, "content": {**said, "text": text[end:]}}
            self._held[said["name"]] = (stream, rest, ident)
        told = {**message, "content": {**said, "text": text[:end]}}
        if end:
            self._send(stream, told, ident=ident)
        return told

    def _release(self) -> None:
        for name in _STREAMS:
            if name in self._held:
                stream, rest, ident = self._held.pop(name)
                self._send(stream, rest, ident=ident)

    def _content(self, content: Message) -> Message:
        return {key: one if key in _OF_THE_PROTOCOL else self._value(one) for key, one in content.items()}

    def _value(self, value: Any) -> Any:
        for secrets in self.secrets:
            value = secrets.redact_value(value)
        return value


def _of_a_cell(message: Message) -> bool:
    return bool(message["parent_header"].get("msg_type") == "execute_request")

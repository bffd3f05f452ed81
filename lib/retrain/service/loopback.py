"""An echo on loopback: what the smoke test's own client takes, measured by sending it the same requests.

A latency that the client sees holds its own work too: writing the request, reading the answer, threads that wait for
each other. The echo answers at once, from a thread of this process, so what is seen of it is that work and the echo's
own: the client's part, and rather too much than too little.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

__all__ = ["ANSWER", "echo"]

ANSWER = b'{"scores": [0.5]}'
_RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_IDLE_SECONDS = 10.0


@contextmanager
def echo(connections: int) -> Iterator[str]:
    """Answer every request on so many connections with one score, and yield the address; OSError without loopback."""
    with socket.create_server(("127.0.0.1", 0), backlog=connections) as listener:
        listener.settimeout(_IDLE_SECONDS)
        accepting = Thread(target=_accept, args=(listener, connections), name="echo", daemon=True)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            with suppress(OSError):  # wakes a thread that still waits for a connection
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join(_IDLE_SECONDS)


def _accept(listener: socket.socket, connections: int) -> None:
    with suppress(OSError):  # nobody came any more
        for _ in range(connections):
            connection, _ = listener.accept()
            Thread(target=_answer, args=(connection,), name="echo", daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        connection.settimeout(_IDLE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
            head, ended, body = received.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            if ended and len(body) >= int(length.group(1) if length else 0):
                connection.sendall(_RESPONSE)
                received = b""

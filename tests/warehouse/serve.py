"""A warehouse for the tests: ``serve.py FOLDER`` loads FOLDER/*.parquet as tables and prints its port.

It is the sandbox's mended server, with tables of the test's own. User ``somebody``, password ``secret``. ``GET /seen``
tells the newest statement as it came over the wire, ``GET /tags`` the QUERY_TAG of every one, oldest first;
``POST /forget`` ends every session. ``POST /meet/N`` holds each statement back from then on until N of them wait at the
same time, and refuses those that wait in vain; ``/meet/0`` ends it.
"""

import asyncio
import gzip
import json
import logging
import socket
import sys
import warnings
from pathlib import Path

import fakesnow.server
import uvicorn
from fakesnow.instance import FakeSnow
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from retrain_sandbox import fakesnow_mends

ALONE_SECONDS = 3.0
newest: dict = {}
tags: list = []


class Meeting:
    """Statements that wait for each other."""

    def __init__(self, wanted: int) -> None:
        self.wanted, self.here, self.all_here = wanted, 0, asyncio.Event()

    async def join(self) -> bool:
        """Wait for the others; False where they do not come."""
        self.here += 1
        if self.here >= self.wanted:
            self.all_here.set()
        try:
            await asyncio.wait_for(self.all_here.wait(), ALONE_SECONDS)
        except TimeoutError:
            return False
        return True


meetings = [Meeting(0)]


async def login(request):
    return await fakesnow_mends.login(request, user="somebody", password="secret")  # noqa: S106 - the test's own


async def answer(request):
    body = await request.body()
    newest.update(json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body))
    tags.append((newest.get("parameters") or {}).get("QUERY_TAG"))
    if not await meetings[-1].join():
        told = {"data": {"errorCode": "000604", "sqlState": "57014"}, "message": "nobody came", "success": False}
        return JSONResponse({**told, "code": "000604"})
    return await fakesnow_mends.answer(request)


async def seen(_):
    return JSONResponse(newest)


async def tagged(_):
    return JSONResponse(tags)


async def meet(request):
    meetings.append(Meeting(request.path_params["wanted"]))
    return JSONResponse({})


async def forget(_):
    fakesnow.server.sessions.clear()
    return JSONResponse({})


def main(folder: Path) -> None:
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    shared = FakeSnow()
    fakesnow_mends.apply(shared)
    shared.connect("RETRAIN", "PUBLIC").close()
    shared.create_database_on_connect = shared.create_schema_on_connect = False
    for file in sorted(folder.glob("*.parquet")):
        shared.duck_conn.execute(f"CREATE TABLE RETRAIN.PUBLIC.{file.stem} AS FROM read_parquet('{file}')")
    ours = {
        "/session/v1/login-request": login,
        "/queries/v1/query-request": answer,
        "/queries/v1/abort-request": fakesnow_mends.abort,
        "/session": fakesnow_mends.forget_session,
        "/forget": forget,
        "/meet/{wanted:int}": meet,
    }
    routes = [
        Route("/seen", seen),
        Route("/tags", tagged),
        *(Route(path, endpoint, methods=["POST"]) for path, endpoint in ours.items()),
    ]
    routes += [route for route in fakesnow.server.routes if route.path not in ours]
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:  # asyncio sets TCP_NODELAY only where TCP is named
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # so that the port may be told now: whoever comes first waits in line
        print(listening.getsockname()[1], flush=True)  # noqa: T201 - the fixture reads it
        config = uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off", timeout_keep_alive=3600)
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(Path(sys.argv[1]))

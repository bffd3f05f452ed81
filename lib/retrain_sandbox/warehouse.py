"""The sandbox's warehouse: ``python -m retrain_sandbox.warehouse --home H --port P``.

It speaks Snowflake's protocol on loopback (fakesnow, mended by ``fakesnow_mends``), and alone owns the database under
``<home>/warehouse/``. Database RETRAIN, schema PUBLIC: TRANSACTIONS, DATA_QUALITY, INCIDENTS, MODEL_METRICS.

TRANSACTIONS is a view: its rows lie in RETRAIN.SANDBOX.ARRIVALS (the whole year), and a row is to be seen once the
sandbox's clock has reached its ``ingestion_timestamp``. So time passes in the warehouse by itself, and setting the
clock back takes rows away. TRANSACTIONS cannot be written through the connector; the admin interface changes ARRIVALS.
The other three are ordinary tables, open to INSERT, UPDATE and DELETE by anybody.

Admin interface (same port, header ``X-Sandbox-Token``: ``token`` of state.json; callers in ``retrain_sandbox.admin``)::

    POST /sandbox/load  {"table", "parquet": absolute path, "mode": "replace" | "append"} -> {"rows": rows of the table}
                        columns by name; TRANSACTIONS means ARRIVALS, and "replace" takes whatever columns the file has
    POST /sandbox/sql   {"statements": [DuckDB SQL, ...]} in one transaction -> {"rows": rows of the last}
    GET  /sandbox/health -> {"status": "ok", "pid", "home"}   (no token)

Errors: 403 wrong token, 400 with {"error"} for anything else.
"""

from __future__ import annotations

import argparse
import hmac
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_sandbox import state, tables
from retrain_sandbox.world import DATABASE

if TYPE_CHECKING:
    import duckdb
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse

__all__ = ["main"]

KEEP_ALIVE_SECONDS = 3600  # the connector keeps its connections; a server that closes them first makes it retry


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Exit 1 when the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m retrain_sandbox.warehouse", description="The sandbox's warehouse.")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    chosen = parser.parse_args(arguments)
    home = chosen.home.resolve()
    # The protocol is named, or asyncio leaves Nagle on: 40 ms a query.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((state.HOST, chosen.port))
        except OSError as error:
            sys.stderr.write(f"port {chosen.port} cannot be had: {error}\n")
            return 1
        # The web server raises the signal that ended it once more; the database must be closed all the same.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        _own_scratch(home)
        try:
            _serve(home, listening)
        finally:
            shutil.rmtree(home / "tmp", ignore_errors=True)
    return 0


def _own_scratch(home: Path) -> None:
    """Let every temporary file lie in ``<home>/tmp``, emptied now: a killed server leaves folders behind."""
    shutil.rmtree(home / "tmp", ignore_errors=True)
    (home / "tmp").mkdir(parents=True)
    tempfile.tempdir = os.environ["TMPDIR"] = str(home / "tmp")


def _serve(home: Path, listening: socket.socket) -> None:
    import uvicorn
    from fakesnow.instance import FakeSnow

    from retrain_sandbox import fakesnow_mends

    state.warehouse_directory(home).mkdir(parents=True, exist_ok=True)
    shared = FakeSnow(db_path=state.warehouse_directory(home))
    fakesnow_mends.apply(shared)
    tables.prepare(home, shared)
    config = uvicorn.Config(
        _application(home, shared.duck_conn),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=2,
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        shared.duck_conn.execute(f"CHECKPOINT {DATABASE}")
        shared.duck_conn.close()


def _application(home: Path, duck: duckdb.DuckDBPyConnection) -> Starlette:
    from starlette.applications import Starlette
    from starlette.routing import Route

    from retrain_sandbox import fakesnow_mends

    current = state.read(home) or state.State()

    async def login(request: Request) -> Any:
        return await fakesnow_mends.login(request, user=current.user, password=current.password)

    mended = {
        "/session/v1/login-request": login,
        "/queries/v1/query-request": fakesnow_mends.answer,
        "/queries/v1/abort-request": fakesnow_mends.abort,
        "/session": fakesnow_mends.forget_session,
    }
    ours = [Route(path, endpoint, methods=["POST"]) for path, endpoint in mended.items()]
    rest = [route for route in fakesnow_mends.server.routes if route.path not in mended]
    return Starlette(routes=[*_admin_routes(home, duck, current.token), *ours, *rest])


def _admin_routes(home: Path, duck: duckdb.DuckDBPyConnection, token: str) -> list[Any]:
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    def guarded(act: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Request], Awaitable[JSONResponse]]:
        async def endpoint(request: Request) -> JSONResponse:
            if not hmac.compare_digest(request.headers.get("X-Sandbox-Token", "").encode(), token.encode()):
                return JSONResponse({"error": "wrong token: it is in state.json"}, status_code=403)
            try:
                return JSONResponse(await run_in_threadpool(act, await request.json()))
            except Exception as error:  # noqa: BLE001 - answered to the caller, whatever it is
                return JSONResponse({"error": f"{type(error).__name__}: {error}"}, status_code=400)

        return endpoint

    def load_table(body: dict[str, Any]) -> dict[str, Any]:
        with duck.cursor() as own:
            return {"rows": tables.load(home, own, body["table"], Path(body["parquet"]), mode=body["mode"])}

    def run(body: dict[str, Any]) -> dict[str, Any]:
        with duck.cursor() as own:
            return {"rows": tables.run(own, body["statements"])}

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok", "pid": os.getpid(), "home": str(home)})

    return [
        Route("/sandbox/health", health, methods=["GET"]),
        Route("/sandbox/load", guarded(load_table), methods=["POST"]),
        Route("/sandbox/sql", guarded(run), methods=["POST"]),
    ]


if __name__ == "__main__":
    raise SystemExit(main())

"""The trivial servers that our own are measured against; each a process of its own.

python -m bench.ceilings echo PORT BYTES          a unary method, ready answer
python -m bench.ceilings relay PORT BYTES NEXT    the same, after one call to NEXT
python -m bench.ceilings http PORT BYTES NEXT     HTTP in front of NEXT
python -m bench.ceilings insert PORT BYTES DSN    one single-row insert a call
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import asyncpg
import grpc
import grpc.aio
import uvicorn
import uvloop

METHOD = "/bench.Echo/Call"

TABLE = """
CREATE TABLE IF NOT EXISTS bench_single (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body bytea NOT NULL
)
"""
INSERT = "INSERT INTO bench_single (body) VALUES ($1)"

Handler = Callable[[bytes, "Context"], Awaitable[bytes]]
# Generic to the type checker alone.
Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def serve(port: str, handler: Handler) -> None:
    method: grpc.RpcMethodHandler[bytes, bytes]
    method = grpc.unary_unary_rpc_method_handler(handler)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench.Echo", {"Call": method}),)
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


async def echo(port: str, size: str) -> None:
    body = bytes(int(size))

    async def call(request: bytes, context: Context) -> bytes:
        return body

    await serve(port, call)


async def relay(port: str, size: str, target: str) -> None:
    body = bytes(int(size))
    async with grpc.aio.insecure_channel(target) as channel:
        behind: Call = channel.unary_unary(METHOD)

        async def call(request: bytes, context: Context) -> bytes:
            await behind(request)
            return body

        await serve(port, call)


async def http(port: str, size: str, target: str) -> None:
    body = bytes(int(size))
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-length", size.encode())],
    }
    async with grpc.aio.insecure_channel(target) as channel:
        behind: Call = channel.unary_unary(METHOD)

        async def app(
            scope: MutableMapping[str, Any], receive: object, send: Send
        ) -> None:
            await behind(b"x" * 40)
            await send(start)
            await send({"type": "http.response.body", "body": body})

        config = uvicorn.Config(
            app, host="127.0.0.1", port=int(port), log_level="warning", lifespan="off"
        )
        await uvicorn.Server(config).serve()


async def insert(port: str, size: str, dsn: str) -> None:
    body = bytes(int(size))
    async with asyncpg.create_pool(dsn, min_size=8, max_size=16) as pool:
        await pool.execute(TABLE)

        async def call(request: bytes, context: Context) -> bytes:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(INSERT, request)
            return body

        await serve(port, call)


ROLES: dict[str, Callable[..., Awaitable[None]]] = {
    "echo": echo,
    "relay": relay,
    "http": http,
    "insert": insert,
}


async def main(role: str, *arguments: str) -> None:
    await ROLES[role](*arguments)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))

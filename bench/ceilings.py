"""The trivial servers that our own are measured against; each a process of its own.

python -m bench.ceilings echo PORT BYTES          a unary method, ready answer
python -m bench.ceilings relay PORT BYTES NEXT    the same, after one call to NEXT
python -m bench.ceilings http PORT BYTES NEXT     HTTP in front of NEXT
python -m bench.ceilings insert PORT BYTES DSN    one single-row insert a call
"""

import sys

import asyncpg
import grpc.aio
import uvicorn
import uvloop

METHOD = "/bench.Echo/Call"


def handlers(call: object) -> grpc.GenericRpcHandler:
    method = grpc.unary_unary_rpc_method_handler(call)
    return grpc.method_handlers_generic_handler("bench.Echo", {"Call": method})


async def serve(port: str, call: object) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(call),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


async def echo(port: str, size: str) -> None:
    body = bytes(int(size))

    async def call(request: bytes, context: object) -> bytes:
        return body

    await serve(port, call)


async def relay(port: str, size: str, target: str) -> None:
    body = bytes(int(size))
    async with grpc.aio.insecure_channel(target) as channel:
        behind = channel.unary_unary(METHOD)

        async def call(request: bytes, context: object) -> bytes:
            await behind(request)
            return body

        await serve(port, call)


async def http(port: str, size: str, target: str) -> None:
    body = bytes(int(size))
    async with grpc.aio.insecure_channel(target) as channel:
        behind = channel.unary_unary(METHOD)

        async def app(scope: dict[str, str], receive: object, send: object) -> None:
            await behind(b"x" * 40)
            start = {"type": "http.response.start", "status": 200, "headers": []}
            await send(start)  # type: ignore[operator] # plain ASGI
            await send(  # type: ignore[operator] # plain ASGI
                {"type": "http.response.body", "body": body}
            )

        config = uvicorn.Config(
            app, host="127.0.0.1", port=int(port), log_level="warning", lifespan="off"
        )
        await uvicorn.Server(config).serve()


async def insert(port: str, size: str, dsn: str) -> None:
    body = bytes(int(size))
    async with asyncpg.create_pool(dsn, min_size=8, max_size=16) as pool:

        async def call(request: bytes, context: object) -> bytes:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    "INSERT INTO bench_single (body) VALUES ($1)", request
                )
            return body

        await serve(port, call)


ROLES = {"echo": echo, "relay": relay, "http": http, "insert": insert}

if __name__ == "__main__":
    uvloop.run(ROLES[sys.argv[1]](*sys.argv[2:]))

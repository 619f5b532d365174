"""The admin port, spoken to by raw HTTP."""

import asyncio

from prometheus_client import CollectorRegistry, Counter

from chassis.admin import open_admin
from chassis.readiness import Readiness


async def fails() -> None:
    raise ConnectionRefusedError("postgres://secret")


async def hangs() -> None:
    await asyncio.Event().wait()


async def passes() -> None:
    pass


async def ask(port: int, request: bytes) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, body.decode()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def test_metrics_live_ready() -> None:
    """What operators scrape and probe."""
    registry = CollectorRegistry()
    Counter("posts", "Posts.", registry=registry).inc()
    readiness = Readiness(requires_all={"a": passes}, requires_any={}, reports={})
    async with open_admin(
        host="127.0.0.1", port=0, registry=registry, readiness=readiness
    ) as port:
        assert "posts_total 1.0" in (await ask(port, get("/metrics")))[1]
        assert (await ask(port, get("/livez")))[0] == 200
        assert await ask(port, get("/readyz")) == (200, "ready\n")
        assert (await ask(port, b"HEAD /livez HTTP/1.1\r\n\r\n")) == (200, "")
        assert (await ask(port, b"POST /livez HTTP/1.1\r\n\r\n"))[0] == 405
        assert (await ask(port, get("/etc/passwd")))[0] == 404
        assert (await ask(port, b"\x00" * 20000))[0] == 0
        assert (await ask(port, get("/livez")))[0] == 200


async def test_readiness_rules() -> None:
    """All of some, any of others; reports never take a service out."""

    async def answer(**checks: object) -> tuple[int, str]:
        empty: dict[str, object] = {
            "requires_all": {},
            "requires_any": {},
            "reports": {},
        }
        readiness = Readiness(**empty | checks)  # type: ignore[arg-type]  # checks, by name
        async with open_admin(
            host="127.0.0.1", port=0, registry=CollectorRegistry(), readiness=readiness
        ) as port:
            return await ask(port, get("/readyz?verbose"))

    bus_down = await answer(
        requires_all={"postgres": passes},
        requires_any={"valkey": fails, "index": passes},
        reports={"bus": fails},
    )
    assert bus_down[0] == 200
    assert bus_down[1].splitlines() == [
        "[+] postgres: ok",
        "[-] valkey: ConnectionRefusedError",
        "[+] index: ok",
        "[-] bus: ConnectionRefusedError",
        "ready",
    ]
    assert (await answer(requires_all={"a": passes, "b": fails}))[0] == 503
    assert (await answer(requires_any={"a": fails, "b": fails}))[0] == 503
    assert (await answer(requires_all={"a": hangs}))[0] == 503
    assert (await answer(reports={"a": fails}))[0] == 200


async def test_draining_is_not_ready() -> None:
    """Whatever the checks say."""
    readiness = Readiness(requires_all={"a": passes}, requires_any={}, reports={})
    readiness.drain()

    assert not (await readiness.check()).is_ready

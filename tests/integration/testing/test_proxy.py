"""The fault proxy does what the tests of faults rely on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chassis.testing import FaultProxy, eventually, fault_proxy


@asynccontextmanager
async def echo_behind_proxy() -> AsyncIterator[FaultProxy]:
    """A server that says what it hears, behind a proxy."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                writer.write(data)
        finally:
            writer.close()
            gone.set()

    gone = asyncio.Event()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        async with fault_proxy("127.0.0.1", port) as proxy:
            yield proxy
        await gone.wait()
    finally:
        server.close()
        await server.wait_closed()


class Client:
    """One connection through the proxy."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer

    async def echo(self, word: bytes = b"word") -> bytes:
        self.writer.write(word)
        return await self.reader.readexactly(len(word))


@asynccontextmanager
async def client_of(proxy: FaultProxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def test_unharmed_it_passes_everything() -> None:
    """Ends of streams too."""
    async with echo_behind_proxy() as proxy, client_of(proxy) as client:
        answer = await client.echo()
        client.writer.write_eof()
        rest = await client.reader.read()

    assert (answer, rest, proxy.accepted) == (b"word", b"", 1)


async def test_frozen_it_holds_what_it_has() -> None:
    """Nothing passes and nothing is lost, as with a stopped process."""
    async with echo_behind_proxy() as proxy, client_of(proxy) as client:
        await client.echo()
        proxy.freeze()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.echo(b"held")
        proxy.heal()

        assert await client.reader.readexactly(4) == b"held"


async def test_delay_is_in_each_direction() -> None:
    """So a round trip takes it twice."""
    loop = asyncio.get_running_loop()
    async with echo_behind_proxy() as proxy, client_of(proxy) as client:
        proxy.delay(0.05)
        start = loop.time()
        await client.echo()

        assert loop.time() - start >= 0.1


async def test_reset_cuts_what_is_there() -> None:
    """New connections are as good as ever."""
    async with echo_behind_proxy() as proxy:
        async with client_of(proxy) as client:
            await client.echo()
            proxy.reset()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await client.echo()
        async with client_of(proxy) as client:
            assert await client.echo() == b"word"


async def test_refusing_it_takes_nobody_new() -> None:
    """Those connected stay."""
    async with echo_behind_proxy() as proxy, client_of(proxy) as early:
        await early.echo()
        proxy.refuse()

        async def refused() -> None:
            async with client_of(proxy) as late:
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    await late.echo()

        await eventually(refused)
        assert await early.echo() == b"word"


async def test_answers_are_held_alone() -> None:
    """The server hears, and the client is not told."""
    async with echo_behind_proxy() as proxy, client_of(proxy) as client:
        await client.echo()
        proxy.hold_answers()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.echo(b"held")
        proxy.heal()

        assert await client.reader.readexactly(4) == b"held"


async def test_last_words_are_heard_and_never_answered() -> None:
    """What a caller knows who is cut off after COMMIT: nothing. The next one is
    answered as ever."""
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            heard.extend(data)
            out.write(data)
        out.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, fault_proxy("127.0.0.1", port) as proxy:
        proxy.cut_after(b"COMMIT", times=1)
        async with client_of(proxy) as client:
            assert await client.echo(b"BEGIN") == b"BEGIN"
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await client.echo(b"COMMIT")
        await eventually(lambda: bytes(heard) == b"BEGINCOMMIT")
        async with client_of(proxy) as client:
            assert await client.echo(b"COMMIT") == b"COMMIT"

        assert proxy.cut == 1


async def test_it_leads_elsewhere() -> None:
    """New connections meet the other server."""

    async def shout(_: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        out.write(b"other")
        await out.drain()
        out.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, fault_proxy("127.0.0.1", 1) as proxy:
        proxy.lead_to(port)
        async with client_of(proxy) as client:
            assert await client.reader.readexactly(5) == b"other"

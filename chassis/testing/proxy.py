"""A TCP proxy that misbehaves on demand: slow, frozen, cut, out of reach."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK = 64 * 1024


class FaultProxy:
    """Stands before a server; clients connect to `port` instead of to it.

    Faults hold for connections there are and for new ones, until `heal`.
    """

    def __init__(self, *, host: str, port: int) -> None:
        self._target = (host, port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._latency = 0.0
        self._refusing = False
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0
        self.accepted = 0
        """Connections seen so far."""

    def delay(self, seconds: float) -> None:
        """Each piece of data takes that long, in each direction."""
        self._latency = seconds

    def freeze(self) -> None:
        """Connections stay, nothing passes: what a stopped process looks like."""
        self._flowing.clear()

    def refuse(self) -> None:
        """New connections are reset at once; those there are stay."""
        self._refusing = True

    def reset(self) -> None:
        """Cut every connection there is, in the rudest way."""
        for writer in tuple(self._open):
            writer.transport.abort()

    def heal(self) -> None:
        """All works again; what was frozen passes now."""
        self._latency = 0.0
        self._refusing = False
        self._flowing.set()

    async def serve(
        self, client: asyncio.StreamReader, out: asyncio.StreamWriter
    ) -> None:
        """One connection, from accept to close."""
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        async with self._closing(out):
            if self._refusing:
                return
            server, into = await asyncio.open_connection(*self._target)
            async with self._closing(into), asyncio.TaskGroup() as both:
                both.create_task(self._pump(client, into))
                both.create_task(self._pump(server, out))

    async def end(self) -> None:
        """Cut all connections and wait until they are gone."""
        self.heal()
        self.reset()
        await asyncio.gather(*self._serving)

    @asynccontextmanager
    async def _closing(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        """Whatever happens inside, the connection is cut at the end."""
        self._open.add(writer)
        try:
            yield
        except* OSError:
            pass  # The other side is gone; this one is to see just that.
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
            self._open.discard(writer)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(_CHUNK):
            if self._latency:
                await asyncio.sleep(self._latency)
            await self._flowing.wait()
            sink.write(data)
            await sink.drain()
        # The end of one direction leaves the other one open.
        if sink.can_write_eof():
            sink.write_eof()


@asynccontextmanager
async def fault_proxy(host: str, port: int) -> AsyncIterator[FaultProxy]:
    """A proxy before host:port, on a free port of the loopback interface."""
    proxy = FaultProxy(host=host, port=port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.end()
        await server.wait_closed()

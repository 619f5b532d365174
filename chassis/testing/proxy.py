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
        self._answering = asyncio.Event()
        self._answering.set()
        self._refusing = False
        self._last_words: bytes | None = None
        self._cuts = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0
        self.accepted = 0
        """Connections seen so far."""
        self.cut = 0
        """Connections that ended by cut_after()."""

    @property
    def target_port(self) -> int:
        """Where new connections go."""
        return self._target[1]

    def lead_to(self, port: int) -> None:
        """New connections go to another server of that host."""
        self._target = (self._target[0], port)

    def delay(self, seconds: float) -> None:
        """Each piece of data takes that long, in each direction."""
        self._latency = seconds

    def freeze(self) -> None:
        """Connections stay, nothing passes: what a stopped process looks like."""
        self._flowing.clear()

    def hold_answers(self) -> None:
        """What clients say passes; what they are answered is kept back."""
        self._answering.clear()

    def cut_after(self, words: bytes, *, times: int) -> None:
        """The next clients who say this are cut off as soon as it has passed.

        The server hears it and goes on; its answer reaches nobody.
        """
        self._last_words, self._cuts = words, times

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
        self._last_words = None
        self._flowing.set()
        self._answering.set()

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
                both.create_task(self._pump(client, into, asker=out))
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
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        *,
        asker: asyncio.StreamWriter | None = None,
    ) -> None:
        """Carries one direction: to the server when there is an asker."""
        while data := await source.read(_CHUNK):
            if self._latency:
                await asyncio.sleep(self._latency)
            await self._flowing.wait()
            if asker is None:
                await self._answering.wait()
            sink.write(data)
            await sink.drain()
            if asker is not None and self._are_last_words(data):
                asker.transport.abort()
        # The end of one direction leaves the other one open.
        if sink.can_write_eof():
            sink.write_eof()

    def _are_last_words(self, data: bytes) -> bool:
        if self._last_words is None or self._last_words not in data or not self._cuts:
            return False
        self._cuts -= 1
        self.cut += 1
        return True


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

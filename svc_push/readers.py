"""What happens to a reader, told to the processes that hold them."""

from .model import SignalKind, UserId
from .ports import LiveHints, ReaderLogs


class Readers:
    """Reaches the processes that hold a reader."""

    def __init__(self, *, logs: ReaderLogs, live: LiveHints) -> None:
        self._logs = logs
        self._live = live

    async def signal(self, viewer: UserId, kind: SignalKind) -> None:
        """Tells them; nobody where nobody holds the reader."""
        if not await self._logs.anybody():
            return
        for process in await self._logs.holders(viewer):
            await self._live.signal(process, viewer, kind)

    async def forget(self, viewer: UserId) -> None:
        """Ends the reader's streams and erases their log and mark."""
        await self.signal(viewer, SignalKind.ACCOUNT_ENDED)
        await self._logs.erase(viewer)

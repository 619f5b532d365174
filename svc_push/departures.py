"""Authors who leave feeds, and who come back: told to readers who are online lately.

The graph is asked how things are now, so that an event that comes late, again or out of
order tells nothing that is not true. What is not told, since no home feed changes by
it: an account that goes private (its followers keep its posts, and nobody else has
them), a follow that is asked for and not accepted, the end of a block (the follow is
not back). Who is blocked hears of it by the end of their follow, and otherwise nothing.
"""

from domain.visibility import Relation, UserState

from .delivery import Announcer, Delivery
from .model import NOBODY, Change, UserId
from .ports import Graph, LiveHints, ReaderLogs


class Departures:
    """Tells readers that an author left their feed, or is back."""

    def __init__(
        self,
        *,
        logs: ReaderLogs,
        live: LiveHints,
        graph: Graph,
        delivery: Delivery,
        announcer: Announcer,
    ) -> None:
        self._logs = logs
        self._live = live
        self._graph = graph
        self._delivery = delivery
        self._announcer = announcer

    async def left(self, viewer: UserId, change: Change) -> None:
        """One reader does not have the author any more: unfollowed, blocked, muted."""
        if not await self._has(viewer, change.author_id, otherwise=True):
            await self._delivery.place([viewer], change)

    async def came_back(self, viewer: UserId, change: Change) -> None:
        """One reader has the author again: followed, not muted any more."""
        if await self._has(viewer, change.author_id, otherwise=False):
            await self._delivery.place([viewer], change)

    async def hidden(self, change: Change) -> None:
        """Nobody may see the author any more, who may be back one day."""
        if not await self._is_active(change.author_id):
            await self._announcer.tell_followers(change)

    async def shown(self, change: Change) -> None:
        """The author may be seen again."""
        if await self._is_active(change.author_id):
            await self._announcer.tell_followers(change)

    async def gone(self, change: Change) -> None:
        """The author is gone for good, and the graph has forgotten who followed.

        Every process tells those of its readers of whom it remembers that; who is
        away is told when they are back (Following).
        """
        if await self._logs.anybody():
            await self._live.broadcast(change)

    async def _has(self, viewer: UserId, author: UserId, *, otherwise: bool) -> bool:
        """Whether the author's posts are in the viewer's feed.

        Not asked where nobody is online, and nothing is told: `otherwise`.
        """
        if not await self._logs.anybody():
            return otherwise
        return is_in_feed((await self._graph.relations(viewer, [author])).of[author])

    async def _is_active(self, author: UserId) -> bool:
        relations = await self._graph.relations(NOBODY, [author])
        return relations.of[author].state == UserState.ACTIVE


def is_in_feed(relation: Relation) -> bool:
    """Whether a viewer who stands so to an author has their posts in the home feed."""
    return (
        relation.is_following
        and relation.state == UserState.ACTIVE
        and not relation.is_blocking
        and not relation.is_blocked_by
        and not relation.is_muting
    )

"""From a change to the clients that hear of it: log first, then a hint."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from domain.visibility import Visibility

from .connections import Connections
from .model import (
    Change,
    Hint,
    PostRecord,
    ProcessName,
    Tie,
    UserId,
    added,
    removed,
)
from .ports import Graph, LiveHints, ReaderLogs

# People whose ties svc_graph answers in one call.
TIES = 1000


class Delivery:
    """Places changes in logs, and tells the processes that hold the readers."""

    def __init__(
        self,
        *,
        logs: ReaderLogs,
        live: LiveHints,
        connections: Connections,
        process: ProcessName,
    ) -> None:
        self._logs = logs
        self._live = live
        self._connections = connections
        self._process = process

    async def place(self, viewers: Sequence[UserId], change: Change) -> None:
        """Appends to the logs of those who are online lately, and hints.

        Safe to repeat: a log holds a change once, and a client is given it once.
        """
        if not viewers:
            return
        hints: defaultdict[ProcessName, list[Hint]] = defaultdict(list)
        for placed in await self._logs.append(viewers, change):
            hint = Hint(placed.viewer, placed.position)
            for process in placed.holders:
                hints[process].append(hint)
        # Our own readers need no way round.
        self._connections.offer(change, hints.pop(self._process, ()))
        for process, batch in hints.items():
            await self._live.send(process, change, batch)


class Announcer:
    """Tells the readers of an author about a post, whoever holds them."""

    def __init__(
        self, *, logs: ReaderLogs, live: LiveHints, graph: Graph, delivery: Delivery
    ) -> None:
        self._logs = logs
        self._live = live
        self._graph = graph
        self._delivery = delivery

    async def tell(self, change: Change, visibility: int) -> None:
        """Reaches the author, and those followers whom the post is for.

        A celebrity's followers are reached by the processes that hold them.
        """
        if not await self._logs.anybody():
            return
        author = change.author_id
        await self._delivery.place([author], change)
        if visibility == Visibility.PRIVATE:
            return
        if await self._graph.is_celebrity(author):
            await self._live.announce(change, visibility)
            return
        async for page in self._graph.followers(author):
            viewers = page
            if visibility == Visibility.FRIENDS:
                viewers = await audience(self._graph, author, page, visibility)
            await self._delivery.place(viewers, change)

    async def tell_followers(self, change: Change) -> None:
        """Reaches all followers of the author, of a celebrity as well.

        For what is rare and must not be missed: announcements may be, and nobody
        hears them for a reader who is away.
        """
        if not await self._logs.anybody():
            return
        async for page in self._graph.followers(change.author_id):
            await self._delivery.place(page, change)

    async def revise(self, post: PostRecord, before: int, occurred: datetime) -> None:
        """Reaches those followers for whom a post came or left by an edit.

        Its audience was that of the visibility `before`. Told as tell_followers does;
        to the author nothing changes.
        """
        if post.visibility == before or not await self._logs.anybody():
            return
        author, version = post.author_id, post.version
        come = added(post.post_id, author, version)
        left = removed(post.post_id, author, occurred, version)
        async for page in self._graph.followers(author):
            ties = await self._graph.ties(author, page)
            could = {who for who in page if may_hear(before, ties.get(who))}
            can = {who for who in page if may_hear(post.visibility, ties.get(who))}
            await self._delivery.place(sorted(can - could), come)
            await self._delivery.place(sorted(could - can), left)


async def audience(
    graph: Graph, author: UserId, people: Sequence[UserId], visibility: int
) -> list[UserId]:
    """Those of the people who may hear of a post, as the graph is now."""
    ties: dict[UserId, Tie] = {}
    for start in range(0, len(people), TIES):
        ties |= await graph.ties(author, people[start : start + TIES])
    return [person for person in people if may_hear(visibility, ties.get(person))]


def may_hear(visibility: int, tie: Tie | None) -> bool:
    """Whether a post goes to a person who is so tied to its author.

    Unspecified is the visibility of a post that is gone: whoever may have had it is
    told.
    """
    if tie is None or not tie.is_followed_by or visibility == Visibility.PRIVATE:
        return False
    return tie.is_following or visibility != Visibility.FRIENDS

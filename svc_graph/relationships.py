"""How people stand to each other now, for the services that show and send posts."""

from collections.abc import AsyncIterator, Sequence

from chassis.clock import Clock

from .model import Followed, Reach, Relation, UserId, Version
from .ports import Celebrities, Relations


class Relationships:
    """Reads of the record at the present time, by which mutes end."""

    def __init__(
        self, *, relations: Relations, celebrities: Celebrities, clock: Clock
    ) -> None:
        self._relations = relations
        self._celebrities = celebrities
        self._clock = clock

    async def of(
        self, viewer: UserId, users: Sequence[UserId]
    ) -> tuple[list[Relation], Version]:
        """One relation each, in order, and the viewer's version that they hold."""
        return await self._relations.of(viewer, users, now=self._clock.now())

    def followers(
        self, user: UserId, *, size: int, after: UserId
    ) -> AsyncIterator[list[UserId]]:
        """All followers with a higher id in pages, ascending."""
        return self._relations.followers(user, size=size, after=after)

    def following(
        self, user: UserId, *, size: int, after: UserId
    ) -> AsyncIterator[list[Followed]]:
        """All whom a person follows with a higher id in pages, ascending."""
        return self._relations.following(user, size=size, after=after)

    async def reach(self, user: UserId) -> Reach:
        return await self._relations.reach(user, now=self._clock.now())

    async def followed_celebrities(self, viewer: UserId) -> list[UserId]:
        return await self._relations.followed_celebrities(viewer)

    async def complete_reach_change(self, user: UserId, version: Version) -> bool:
        """Nobody need pull the author who left by the change of this version.

        False when the reach changed again since.
        """
        return await self._celebrities.complete(user, version)

"""Posts by the batch, for other services."""

from collections.abc import Sequence

from .model import ABOVE_ALL, PostId, Record, UserId
from .ports import HotPosts, Reactions, StoredPosts


class PostBatches:
    """Posts whoever may see them: the caller decides that."""

    def __init__(
        self, *, stored: StoredPosts, reactions: Reactions, hot: HotPosts
    ) -> None:
        self._stored = stored
        self._reactions = reactions
        self._hot = hot

    async def get(self, post_ids: Sequence[PostId], viewer: UserId) -> list[Record]:
        """Those that exist, in the order asked for; leaves copies for the next."""
        found = await self._stored.find(post_ids, viewer=viewer)
        await self._hot.fill(list(found.values()))
        if viewer and not await self._hot.knows_actions(viewer):
            await self._hot.acted(viewer, await self._reactions.did(viewer))
        return [found[post_id] for post_id in post_ids if post_id in found]

    async def recent(
        self, authors: Sequence[UserId], *, after: int, before: int, limit: int
    ) -> list[tuple[PostId, UserId]]:
        """The newest posts of each author between the bounds; 0 is no bound."""
        return await self._stored.recent(
            sorted(set(authors)), after=after, before=before or ABOVE_ALL, limit=limit
        )

"""Counts of posts, and the clearing away of what people and posts leave behind."""

from collections.abc import Sequence

from .model import PostId, UserId
from .ports import HotPosts, PersonalData, PostChanges, Tallies

# Rows in one transaction of an erasure; small enough not to hold up writers.
ERASE_AT_ONCE = 500


class Counters:
    """Keeps the counts equal to the rows they count, by counting."""

    def __init__(self, *, tallies: Tallies, hot: HotPosts) -> None:
        self._tallies = tallies
        self._hot = hot

    async def recount(self, post_ids: Sequence[PostId]) -> None:
        """Counts these posts anew. Repeating it changes nothing."""
        wanted = sorted({post_id for post_id in post_ids if post_id})
        if wanted:
            await self._hot.counted(await self._tallies.recount(wanted))


class Erasure:
    """Takes away, in bounded steps, what belonged to something that is gone.

    A step that was cut off is done again: each deletes what it still finds.
    """

    def __init__(self, *, changes: PostChanges, personal: PersonalData) -> None:
        self._changes = changes
        self._personal = personal

    async def of_post(self, post_id: PostId) -> None:
        """Shares, likes and comments of a deleted post."""
        while await self._changes.erase_traces(post_id, limit=ERASE_AT_ONCE):
            pass

    async def of_person(self, person: UserId) -> None:
        """All that a person wrote or did."""
        while await self._personal.erase_some(person, limit=ERASE_AT_ONCE):
            pass

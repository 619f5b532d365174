"""Step 2 of a page, hydration: what stands behind the ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chassis.errors import DeadlineExceeded, Unavailable

from .model import Candidate, Post, PostId, Profile, Relations, Stats, UserId
from .ports import People, Posts, ReaderGraph


@dataclass(frozen=True, slots=True)
class Contents:
    """Posts with their originals, and how the reader stands to all their authors."""

    posts: Mapping[PostId, Post]
    relations: Relations
    is_complete: bool
    """False: relations could not be read."""


@dataclass(frozen=True, slots=True)
class Trimmings:
    """What is shown beside posts."""

    stats: Mapping[PostId, Stats]
    did: Mapping[PostId, int]
    profiles: Mapping[UserId, Profile] | None
    """None: profiles could not be read."""


class Hydration:
    """Loads in batches, from wherever it is near and current."""

    def __init__(self, *, posts: Posts, people: People) -> None:
        self._posts = posts
        self._people = people

    async def contents(
        self, viewer: UserId, ids: Sequence[PostId], graph: ReaderGraph
    ) -> Contents:
        """What the rules need to know of the posts. Raises Unavailable for posts."""
        posts = dict(await self._posts.posts(ids))
        originals = [
            original
            for post in posts.values()
            if (original := PostId(post.facts.share_of or post.facts.quote_of))
            and original not in posts
        ]
        if originals:
            posts.update(await self._posts.posts(originals))
        authors = {UserId(post.facts.author_id) for post in posts.values()}
        authors.discard(viewer)
        if not authors:
            return Contents(posts, {}, is_complete=True)
        try:
            relations = await graph.relations(list(authors))
        except (Unavailable, DeadlineExceeded):
            return Contents(posts, {}, is_complete=False)
        return Contents(posts, relations, is_complete=True)

    async def stats(self, shown: Sequence[Candidate]) -> Mapping[PostId, Stats]:
        """Counts of candidates, for ranking them."""
        return await self._posts.stats([one.post_id for one in shown])

    async def trimmings(
        self,
        viewer: UserId,
        shown: Sequence[Candidate],
        *,
        did: Mapping[PostId, int] | None,
        stats: Mapping[PostId, Stats],
    ) -> Trimmings:
        """What is shown beside the posts of one page.

        `did` is what the reader's packed actions say; None asks the owner. `stats` are
        the counts loaded so far.
        """
        ids = [one.post_id for one in shown]
        authors = {one.author_id for one in shown}
        authors.update(
            UserId(one.original.facts.author_id) for one in shown if one.original
        )
        try:
            profiles = await self._people.profiles(list(authors))
        except (Unavailable, DeadlineExceeded):
            profiles = None
        if did is None:
            did = await self._posts.did(viewer, ids)
        if not all(post_id in stats for post_id in ids):
            stats = await self._posts.stats(ids)
        return Trimmings(stats, did, profiles)

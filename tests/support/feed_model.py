"""What a home feed should hold, worked out the simplest way there is.

It shares no code with the services: plain sets of follows and a list of posts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class FeedModel:
    """Follows and posts, and the feeds that follow from them."""

    following: dict[str, set[str]] = field(default_factory=dict)
    posts_of: dict[str, set[int]] = field(default_factory=dict)

    def follow(self, edges: Iterable[tuple[str, str]]) -> None:
        for follower, followee in edges:
            self.following.setdefault(follower, set()).add(followee)

    def place(self, post_id: int, author: str) -> None:
        self.posts_of.setdefault(author, set()).add(post_id)

    def latest(self, reader: str) -> list[int]:
        """Post ids of the reader and of those they follow, newest first."""
        authors = {reader} | self.following.get(reader, set())
        ids: set[int] = set()
        for author in authors:
            ids |= self.posts_of.get(author, set())
        return sorted(ids, reverse=True)

    def followers_of(self, author: str) -> list[str]:
        return sorted(f for f, whom in self.following.items() if author in whom)

"""Which readers held here follow which celebrities, as far as that was learned."""

from collections import defaultdict
from collections.abc import Collection, Set

from .model import UserId


class LocalFollowers:
    """Both ways round: what a reader follows, and who follows an author."""

    def __init__(self) -> None:
        self._by_author: defaultdict[UserId, set[UserId]] = defaultdict(set)
        self._by_viewer: dict[UserId, frozenset[UserId]] = {}

    def put(self, viewer: UserId, authors: Collection[UserId]) -> None:
        """The reader follows these and no others."""
        before = self._by_viewer.get(viewer, frozenset())
        after = frozenset(authors)
        for author in after - before:
            self._by_author[author].add(viewer)
        for author in before - after:
            self._by_author[author].discard(viewer)
            if not self._by_author[author]:
                del self._by_author[author]
        self._by_viewer[viewer] = after

    def drop(self, viewer: UserId) -> None:
        """The reader is not held here any more."""
        self.put(viewer, ())
        del self._by_viewer[viewer]

    def followed_by(self, viewer: UserId) -> frozenset[UserId]:
        """Whom a reader follows."""
        return self._by_viewer.get(viewer, frozenset())

    def of(self, author: UserId) -> list[UserId]:
        """Who follows an author, ascending."""
        return sorted(self._by_author.get(author, ()))

    def authors(self) -> Set[UserId]:
        """Everybody whom somebody follows."""
        return self._by_author.keys()

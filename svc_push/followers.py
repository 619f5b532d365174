"""Whom readers held here follow, as far as that was learned."""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Set

from .model import UserId


class LocalFollowers:
    """Both ways round: what a reader follows, and who follows an author.

    Celebrities are indexed, since each of their posts asks for them. All others are
    looked for reader by reader, on the rare occasion that somebody is gone.
    """

    def __init__(self) -> None:
        # Ascending, eight bytes each.
        self._all: dict[UserId, array[int]] = {}
        self._by_author: defaultdict[UserId, set[UserId]] = defaultdict(set)
        self._by_viewer: dict[UserId, frozenset[UserId]] = {}

    def put(self, viewer: UserId, authors: Collection[UserId]) -> None:
        """The reader follows these celebrities and no others."""
        before = self._by_viewer.get(viewer, frozenset())
        after = frozenset(authors)
        for author in after - before:
            self._by_author[author].add(viewer)
        for author in before - after:
            self._by_author[author].discard(viewer)
            if not self._by_author[author]:
                del self._by_author[author]
        self._by_viewer[viewer] = after

    def put_all(self, viewer: UserId, authors: Collection[UserId]) -> None:
        """The reader follows these people, celebrities and others."""
        self._all[viewer] = array("q", sorted(authors))

    def drop(self, viewer: UserId) -> None:
        """The reader is not held here any more."""
        self.put(viewer, ())
        del self._by_viewer[viewer]
        self._all.pop(viewer, None)

    def of_anybody(self, author: UserId) -> list[UserId]:
        """Who follows an author, celebrity or not, ascending."""
        return sorted(
            viewer
            for viewer, authors in self._all.items()
            if author in authors[(at := bisect_left(authors, author)) : at + 1]
        )

    def followed_by(self, viewer: UserId) -> frozenset[UserId]:
        """The celebrities that a reader follows."""
        return self._by_viewer.get(viewer, frozenset())

    def of(self, author: UserId) -> list[UserId]:
        """Who follows a celebrity, ascending."""
        return sorted(self._by_author.get(author, ()))

    def authors(self) -> Set[UserId]:
        """Every celebrity whom somebody follows."""
        return self._by_author.keys()

"""What the domain of svc_feed needs from others. The docstrings are the rules."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from .model import (
    ABOVE_ALL,
    BELOW_ALL,
    Audited,
    Candidate,
    Changes,
    Entry,
    FeedQuery,
    Followee,
    Glance,
    Hot,
    Order,
    Page,
    Placed,
    Post,
    PostId,
    Profile,
    Ranking,
    Reach,
    ReachMove,
    ReaderState,
    Record,
    Relations,
    Stats,
    UserId,
)


class FeedIndex(Protocol):
    """Who has which post in their home feed. Durable; the record of fan-out.

    Adding what is there and removing what is not change nothing. All methods raise
    Unavailable when the record does not answer.
    """

    async def add(self, viewers: Sequence[UserId], entry: Entry) -> int:
        """Places one post in many feeds; answers how many did not hold it before.

        Passes over readers who pull, and over those who are idle, IDLE_MARGIN later
        than their own reads do, but never over the author. Not atomic: repeat it
        after a failure.
        """
        ...

    async def add_all(
        self, viewers: Sequence[UserId], entries: Sequence[Entry]
    ) -> None:
        """As `add`, for several posts of one author."""
        ...

    async def fill(self, viewer: UserId, entries: Sequence[Entry]) -> None:
        """Places many posts in one feed, all or none."""
        ...

    async def newest(
        self, viewer: UserId, *, limit: int, before: PostId = ABOVE_ALL
    ) -> list[Entry]:
        """The newest entries older than `before`, newest first.

        Fewer than `limit` means that nothing older is there.
        """
        ...

    async def remove_author(
        self,
        viewer: UserId,
        author: UserId,
        *,
        before: PostId = ABOVE_ALL,
        keeping: Sequence[PostId] = (),
    ) -> None:
        """Takes posts of an author out of one feed, but for those to be kept."""
        ...

    async def remove(self, viewer: UserId, posts: Sequence[PostId]) -> None:
        """Takes many posts out of one feed."""
        ...

    async def remove_post(self, viewers: Sequence[UserId], post: PostId) -> None:
        """Takes one post out of many feeds."""
        ...

    async def erase(self, user: UserId) -> None:
        """Takes out the user's own feed, and their posts from all others.

        Looks at every row, slice by slice; repeat it after a failure.
        """
        ...


class Readers(Protocol):
    """Who reads, and for whom posts are placed. All methods raise Unavailable.

    A reader of whom nothing is kept counts as having read when their account was
    made, and as having a whole index.
    """

    async def touch(self, viewer: UserId) -> ReaderState:
        """Notes that the reader reads now; answers when they read before.

        Committed when it returns: whatever is placed from then on is placed for this
        reader. One who was idle, as `is_idle` tells, is not whole any more, and the
        answer says so. Of two at once, one sees the other's.
        """
        ...

    async def state(self, viewer: UserId) -> ReaderState:
        """What is noted. Changes nothing."""
        ...

    def is_idle(self, viewer: UserId, state: ReaderState) -> bool:
        """Whether the reader has not read for so long that fan-out passes over them.

        Fan-out does IDLE_MARGIN later.
        """
        ...

    async def set_pulls(self, viewer: UserId, pulls: bool) -> None:
        """From now on nothing is placed for the reader, or everything is.

        To have it placed again: set_whole(False) first, so that the next read
        rebuilds what was not placed.
        """
        ...

    async def set_whole(self, viewer: UserId, is_whole: bool) -> None:
        """Notes that the index holds what it should, or that it does not."""
        ...

    async def forget(self, viewer: UserId) -> None:
        """Drops what is noted of somebody who is gone."""
        ...

    async def next_after(self, viewer: UserId) -> UserId | None:
        """Who of those of whom something is kept has the next higher id, if any."""
        ...

    async def tiers(self) -> Mapping[str, int]:
        """How many readers are hot, warm and cold. Looks at every row."""
        ...


class HotFeeds(Protocol):
    """Copies of the newest part of feeds that are being read, in Valkey.

    A hot feed is whole above its floor: a post placed in the index before or while
    the hot feed was built is in it. To be sure of that, place in the index first,
    then append. All methods raise Unavailable when Valkey does not answer.
    """

    async def append(self, viewers: Sequence[UserId], entry: Entry) -> None:
        """Adds one post to those of the feeds that exist; makes none."""
        ...

    async def begin(self, viewer: UserId) -> str | None:
        """Starts to build a missing hot feed: call it before reading the index.

        None when somebody else is building it, or when it exists. What is appended
        from now on is kept for `finish`. A build that is not finished is forgotten
        after some seconds.
        """
        ...

    async def finish(
        self,
        viewer: UserId,
        build: str,
        hot: Hot,
        *,
        lasting: timedelta | None = None,
    ) -> None:
        """Puts what was found below what was appended meanwhile.

        It is kept for its usual time, or as long as told. Does nothing when the build
        was forgotten.
        """
        ...

    async def forget(self, viewers: Sequence[UserId]) -> None:
        """Drops hot feeds and builds under way; the next read builds anew."""
        ...

    async def look(self, viewer: UserId) -> Hot | None:
        """One as a page reads it; None: there is none, or it is being built."""
        ...


class AuditWatch(Protocol):
    """Hears what audits found."""

    def audited(self, audited: Audited) -> None:
        """A reader's index was audited by the sampler."""
        ...

    def repaired(self, missing: int) -> None:
        """So many posts were missed by a reader, and placed."""
        ...


class Trail(Protocol):
    """Who did what to whose feed. Rows are added and never changed."""

    async def record(self, *, who: str, what: str, target: str, outcome: str) -> None:
        """Adds one row. Raises Unavailable."""
        ...


class Continuations(Protocol):
    """Work that is cut into parts: what is left comes back as an event."""

    async def fan_out(self, entry: Entry, *, after: UserId) -> None:
        """The post is to be placed with followers above `after`. Raises Unavailable."""
        ...


class ReachMoves(Protocol):
    """How far the posts of authors who were pulled are placed. Raises Unavailable."""

    async def note(
        self, author: UserId, version: int, *, placed_since: datetime | None
    ) -> ReachMove:
        """Notes a change of reach, unless a newer one is noted; answers the newest.

        Noting it again changes nothing: what was placed since is not forgotten.
        """
        ...

    async def last(self, author: UserId) -> ReachMove | None:
        """The newest change; None: there was none."""
        ...

    async def advance(self, author: UserId, version: int, *, after: UserId) -> None:
        """Followers up to `after` hold the posts; the rest comes back as an event.

        Both or neither. Does nothing when a newer change is noted, or when others
        have come as far.
        """
        ...

    async def finish(self, author: UserId, version: int) -> None:
        """All followers hold them."""
        ...


class FanOutWatch(Protocol):
    """Hears how fan-out goes."""

    def placed(self, post: PostId, placed: Placed) -> None:
        """One part of the audience was served."""
        ...


class Feeds(Protocol):
    """Pages, and what waits above them."""

    async def page(self, query: FeedQuery) -> Page:
        """One page. Raises InvalidArgument, Unavailable."""
        ...

    async def new_post_count(self, viewer: UserId, *, min_graph_version: int) -> int:
        """Posts newer than the last top, up to 100. Raises Unavailable."""
        ...


class ColdWatch(Protocol):
    """Hears what it took to make a feed from graph and posts."""

    def took(self, kind: str, seconds: float, *, is_done: bool) -> None:
        """`kind`: pull, first (of a rebuild, while a page waits), rest, asked."""
        ...


class Repairs(Protocol):
    """Looks after indexes that were read, in the background."""

    def notice(self, viewer: UserId) -> None:
        """The reader's feed was built. Never raises, never waits."""
        ...


class Generations(Protocol):
    """The generation of hot feeds that may be believed, in the index's database."""

    async def current(self) -> int:
        """Raises Unavailable."""
        ...

    async def advance(self) -> None:
        """Makes all hot feeds there are unbelievable. Raises Unavailable."""
        ...


class HotTags(Protocol):
    """The same, as readers of hot feeds know it."""

    async def believe(self, generation: int) -> None:
        """From now on hot feeds of other generations count as missing.

        Never goes back to an older generation. Raises Unavailable.
        """
        ...


class Glances(Protocol):
    """The one round trip to Valkey at the start of a page."""

    async def take(self, viewer: UserId, *, refreshing: Order | None = None) -> Glance:
        """Never raises for a Valkey that does not answer: the glance says so.

        `refreshing`: the order of a forced refresh, for which the last page is read.
        """
        ...


class Notes(Protocol):
    """What is written beside a page that does not wait for it. It may be lost."""

    def note_top(self, viewer: UserId, top: PostId) -> None:
        """The newest post of a first page, for some weeks."""
        ...

    def note_last(self, viewer: UserId, order: Order, page: bytes) -> None:
        """A first page, for the time in which a refresh is too soon."""
        ...

    async def forget(self, viewer: UserId) -> None:
        """Drops what is noted of somebody who is gone. Raises Unavailable."""
        ...


class PostCopies(Protocol):
    """Posts and counts that svc_ingest keeps in Valkey. Absence is ordinary.

    All methods raise Unavailable when Valkey does not answer.
    """

    async def posts(self, ids: Sequence[PostId]) -> Mapping[PostId, Post]:
        """Those of which a copy is known to be current."""
        ...

    async def stats(self, ids: Sequence[PostId]) -> Mapping[PostId, Stats]:
        """Those that are kept."""
        ...


class PostRecords(Protocol):
    """Posts as svc_ingest stores them. Raises Unavailable."""

    async def records(
        self, ids: Sequence[PostId], *, viewer: UserId
    ) -> Mapping[PostId, Record]:
        """Those that exist, with what the viewer did (0: nobody)."""
        ...

    async def recents(
        self,
        authors: Sequence[UserId],
        *,
        limit: int,
        after: PostId = BELOW_ALL,
        before: PostId = ABOVE_ALL,
    ) -> Mapping[UserId, Sequence[Entry]]:
        """The newest posts of each author between the bounds, newest first.

        Every author is a key. Fewer than `limit` of one means that there are no more.
        """
        ...


class Posts(Protocol):
    """Posts as a page sees them: from wherever they are near and current."""

    async def posts(self, ids: Sequence[PostId]) -> Mapping[PostId, Post]:
        """Those that exist. Raises Unavailable when one cannot be told."""
        ...

    async def stats(self, ids: Sequence[PostId]) -> Mapping[PostId, Stats]:
        """Counts; those that cannot be told are left out."""
        ...

    async def did(self, viewer: UserId, ids: Sequence[PostId]) -> Mapping[PostId, int]:
        """What the viewer did with posts, as flags; what cannot be told is left out."""
        ...

    async def own(
        self, viewer: UserId, listed: Sequence[Entry] | None
    ) -> Sequence[Entry]:
        """The viewer's newest posts, newest first, as their owner knows them now.

        `listed`: what Valkey's list holds of them; a list that began moments ago may
        lack what was posted before it was lost. Raises Unavailable without one.
        """
        ...

    async def recents(
        self, authors: Sequence[UserId], *, before: PostId, limit: int
    ) -> Mapping[UserId, Sequence[Entry]]:
        """As PostRecords.recents; the newest ones trail by some seconds."""
        ...


class People(Protocol):
    """Profiles of authors."""

    async def profiles(self, ids: Sequence[UserId]) -> Mapping[UserId, Profile]:
        """Those who can be seen. Raises Unavailable."""
        ...


class Graph(Protocol):
    """Who follows whom, as svc_graph's primary knows it now. Raises Unavailable."""

    async def relations(self, viewer: UserId, ids: Sequence[UserId]) -> Relations:
        """How the viewer stands to each."""
        ...

    async def followed_celebrities(self, viewer: UserId) -> frozenset[UserId]:
        """Whom the viewer follows of those whose posts are not fanned out."""
        ...

    async def reach(self, author: UserId) -> Reach:
        """How far a post of the author goes."""
        ...

    def followers(
        self, author: UserId, *, after: UserId
    ) -> AsyncGenerator[list[UserId]]:
        """Followers with higher ids in pages of up to 1,000, ascending.

        Close it where not all are wanted: it reads ahead.
        """
        ...

    async def followee(self, viewer: UserId, author: UserId) -> Followee | None:
        """The edge from one to the other; None: the viewer does not follow."""
        ...

    def following(self, viewer: UserId) -> AsyncIterator[list[Followee]]:
        """Whom the viewer follows, in pages of up to 1,000, ascending."""
        ...

    async def complete_reach_change(self, author: UserId, version: int) -> bool:
        """Ends the time in which posts of the author are both pulled and placed.

        False: the reach changed again since that version, and nothing was done.
        """
        ...


class ReaderGraph(Protocol):
    """The graph as one reader's page may use it: fresh enough, asked once."""

    async def relations(self, ids: Sequence[UserId]) -> Relations:
        """How the reader stands to each. Raises Unavailable when it cannot be told."""
        ...

    async def celebrities(self) -> frozenset[UserId]:
        """Followed celebrities. Raises Unavailable."""
        ...


class ReaderGraphs(Protocol):
    """Opens the graph for a page."""

    def reader(self, viewer: UserId, *, mark: int | None, at_least: int) -> ReaderGraph:
        """`mark`: version read before this call; None when it is not known.

        `at_least`: version that the caller has seen; nothing older will do.
        """
        ...


class NearCopies(Protocol):
    """What this process keeps of posts, people and relations."""

    def apply(self, changes: Changes) -> None:
        """Makes copies of what changed unusable."""
        ...


class Ranker(Protocol):
    """Orders candidates."""

    async def rank(
        self,
        viewer: UserId,
        candidates: Sequence[Candidate],
        stats: Mapping[PostId, Stats],
    ) -> Ranking:
        """A hint, no more.

        Raises a MeshError when ranking does not answer in its time.
        """
        ...

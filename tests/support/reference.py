"""What everybody should see: the rules of the product in plain sets and loops.

A model to hold the services against. It imports nothing of theirs, knows no cache, no
queue and no page, and is as slow as it is plain. Time is a count of changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

PUBLIC, FOLLOWERS, FRIENDS, PRIVATE = (
    "VISIBILITY_PUBLIC",
    "VISIBILITY_FOLLOWERS",
    "VISIBILITY_FRIENDS",
    "VISIBILITY_PRIVATE",
)

# Posts of somebody newly followed that come into a feed, if they are of the last day;
# all posts of the model are.
BACKFILL = 50

Edge = tuple[str, str]


@dataclass
class Post:
    """A post. Ids grow with time."""

    post_id: int
    author: str
    visibility: str = PUBLIC
    share_of: int = 0
    quote_of: int = 0


@dataclass(frozen=True)
class Home:
    """What a viewer's home feed holds once everything has come to rest."""

    must: frozenset[int]
    """Posts that have to be there."""

    may: frozenset[int]
    """Posts that may be there or not; none besides these and `must` may be."""


@dataclass
class Reference:
    """People by name, what is between them, and what they wrote.

    The methods that change something answer whether the product should allow it.
    """

    people: tuple[str, ...]
    private: set[str] = field(default_factory=set)
    # (who, whom): since which change, and what was recent then.
    follows: dict[Edge, tuple[int, frozenset[int]]] = field(default_factory=dict)
    requests: set[Edge] = field(default_factory=set)
    blocks: set[Edge] = field(default_factory=set)
    mutes: set[Edge] = field(default_factory=set)
    posts: dict[int, Post] = field(default_factory=dict)
    born: dict[int, int] = field(default_factory=dict)
    likes: set[tuple[str, int]] = field(default_factory=set)
    now: int = 0
    # By viewer: posts that came to rest in their feed, and did not leave it since.
    settled: dict[str, set[int]] = field(default_factory=dict)

    # What people do to each other.

    def follow(self, who: str, whom: str) -> bool:
        if self.is_apart(who, whom):
            return False
        if (who, whom) in self.follows:
            return True
        if whom in self.private:
            self.requests.add((who, whom))
        else:
            self._add_follow(who, whom)
        return True

    def unfollow(self, who: str, whom: str) -> bool:
        edge = (who, whom)
        if edge not in self.follows and edge not in self.requests:
            return (whom, who) not in self.blocks
        self.follows.pop(edge, None)
        self.requests.discard(edge)
        return self._changed()

    def approve(self, who: str, whom: str) -> bool:
        """`who` lets `whom` follow."""
        if (whom, who) not in self.requests:
            return False
        self._add_follow(whom, who)
        return True

    def deny(self, who: str, whom: str) -> bool:
        if (whom, who) not in self.requests:
            return False
        self.requests.discard((whom, who))
        return self._changed()

    def block(self, who: str, whom: str) -> bool:
        if (who, whom) in self.blocks:
            return True
        if (whom, who) in self.blocks:
            return False
        self.blocks.add((who, whom))
        for edge in ((who, whom), (whom, who)):
            self.follows.pop(edge, None)
            self.requests.discard(edge)
        return self._changed()

    def unblock(self, who: str, whom: str) -> bool:
        if (who, whom) not in self.blocks:
            return (whom, who) not in self.blocks
        self.blocks.discard((who, whom))
        return self._changed()

    def mute(self, who: str, whom: str) -> bool:
        if (whom, who) in self.blocks:
            return False
        self.mutes.add((who, whom))
        return self._changed()

    def unmute(self, who: str, whom: str) -> bool:
        if (who, whom) not in self.mutes:
            return (whom, who) not in self.blocks
        self.mutes.discard((who, whom))
        return self._changed()

    def set_private(self, who: str, *, is_private: bool) -> bool:
        """Going public accepts whoever asked."""
        if is_private:
            self.private.add(who)
            return self._changed()
        self.private.discard(who)
        for asking, asked in sorted(self.requests):
            if asked == who:
                self._add_follow(asking, who)
        return self._changed()

    # What people do to posts.

    def may_post(self, who: str, *, reply_to: int = 0, quote_of: int = 0) -> bool:
        if reply_to and not self.may_see(who, reply_to):
            return False
        return not quote_of or self.may_share(who, quote_of)

    def may_share(self, who: str, post_id: int) -> bool:
        """Only what everybody may see; of a share, its original is meant."""
        if not self.may_see(who, post_id):
            return False
        original = self.posts[self.original(post_id)]
        return original.visibility == PUBLIC and original.author not in self.private

    def add(self, post: Post) -> None:
        """A post was stored, and quotes and shares name originals."""
        self.now += 1
        self.posts[post.post_id] = post
        self.born[post.post_id] = self.now
        self._changed()

    def share_by(self, who: str, post_id: int) -> int:
        """The share of a post that somebody has; 0 for none."""
        original = self.original(post_id)
        for post in self.posts.values():
            if post.author == who and post.share_of == original:
                return post.post_id
        return 0

    def edit(self, post_id: int, visibility: str) -> None:
        self.posts[post_id].visibility = visibility
        self._changed()

    def delete(self, post_id: int) -> None:
        """With it go its shares; quotes and replies stay."""
        for post in list(self.posts.values()):
            if post_id in (post.post_id, post.share_of):
                del self.posts[post.post_id]
        self._changed()

    # What may be seen.

    def is_apart(self, one: str, other: str) -> bool:
        """One of the two blocks the other."""
        return (one, other) in self.blocks or (other, one) in self.blocks

    def original(self, post_id: int) -> int:
        post = self.posts.get(post_id)
        return (post.share_of or post_id) if post else post_id

    def may_see(self, viewer: str, post_id: int) -> bool:
        """By its id, and wherever else it turns up."""
        post = self.posts.get(post_id)
        if post is None or not self._lets(viewer, post):
            return False
        return not post.share_of or self.may_see(viewer, post.share_of)

    def shows_original(self, viewer: str, post_id: int) -> bool:
        """A home feed shows what this post quotes or shares."""
        post = self.posts[post_id]
        original = self.posts.get(post.share_of or post.quote_of)
        if original is None or (viewer, original.author) in self.mutes:
            return False
        return self.may_see(viewer, original.post_id)

    def in_feed(self, viewer: str, post_id: int) -> bool:
        """A home feed may hold it now."""
        post = self.posts.get(post_id)
        if post is None or not self._belongs(viewer, post):
            return False
        if (viewer, post.author) in self.mutes:
            return False
        return not post.share_of or self.shows_original(viewer, post_id)

    def author_list(self, viewer: str, author: str) -> list[int]:
        """Newest first."""
        own = [post.post_id for post in self.posts.values() if post.author == author]
        return sorted((p for p in own if self.may_see(viewer, p)), reverse=True)

    def likers(self, viewer: str, post_id: int) -> set[str]:
        likers = {who for who, post in self.likes if post == post_id}
        return {who for who in likers if not self.is_apart(viewer, who)}

    def feed(self, viewer: str) -> set[int]:
        """All that a home feed may hold now."""
        return {post_id for post_id in self.posts if self.in_feed(viewer, post_id)}

    def certain(self, viewer: str) -> set[int]:
        """What a read that begins now has to find, without waiting."""
        own = {p.post_id for p in self.posts.values() if p.author == viewer}
        known = self.settled.get(viewer, set()) | own
        return {post_id for post_id in known if self.in_feed(viewer, post_id)}

    def home(self, viewer: str) -> Home:
        """What the feed holds once everything has come to rest."""
        feed = self.feed(viewer)
        must = {post_id for post_id in feed if self._is_due(viewer, post_id)}
        return Home(frozenset(must), frozenset(feed - must))

    def come_to_rest(self) -> None:
        """Everything that was under way has arrived."""
        for viewer in self.people:
            # What a mute hides was placed all the same.
            self.settled[viewer] = {
                post_id
                for post_id, post in self.posts.items()
                if self._belongs(viewer, post) and self._is_due(viewer, post_id)
            }

    def _is_due(self, viewer: str, post_id: int) -> bool:
        """Own, followed since before it was made, or recent when the follow began."""
        post = self.posts[post_id]
        if post.author == viewer:
            return True
        since, recent = self.follows[viewer, post.author]
        return since < self.born[post_id] or post_id in recent

    def _lets(self, viewer: str, post: Post) -> bool:
        author = post.author
        if viewer == author:
            return True
        is_following = (viewer, author) in self.follows
        if self.is_apart(viewer, author) or post.visibility == PRIVATE:
            return False
        if post.visibility == PUBLIC:
            return is_following or author not in self.private
        is_friend = (author, viewer) in self.follows
        return is_following and (is_friend or post.visibility != FRIENDS)

    def _belongs(self, viewer: str, post: Post) -> bool:
        """In the feed but for mutes."""
        author = post.author
        is_near = viewer == author or (viewer, author) in self.follows
        return is_near and self.may_see(viewer, post.post_id)

    def _add_follow(self, who: str, whom: str) -> None:
        self.now += 1
        self.requests.discard((who, whom))
        theirs = (p for p in sorted(self.posts, reverse=True) if self._by(p) == whom)
        self.follows[who, whom] = (self.now, frozenset(islice(theirs, BACKFILL)))
        self._changed()

    def _by(self, post_id: int) -> str:
        return self.posts[post_id].author

    def _changed(self) -> bool:
        """What has left a feed comes back only with time."""
        self.now += 1
        for viewer, ids in self.settled.items():
            posts = {p: self.posts[p] for p in ids & self.posts.keys()}
            ids &= {p for p, post in posts.items() if self._belongs(viewer, post)}
        return True

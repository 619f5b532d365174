"""What the domain needs of the outside; the docstrings are the specification."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from chassis.errors import MeshError

from domain.visibility import PostFacts, Relation

from .model import (
    Actions,
    Comment,
    CommentId,
    Compared,
    Created,
    Did,
    Drift,
    Like,
    NewPost,
    Post,
    PostBytes,
    PostId,
    Record,
    RequestKey,
    Stats,
    StoredPost,
    UserId,
)


class Graph(Protocol):
    """How people stand to each other, as svc_graph says now."""

    async def relations(
        self, viewer: UserId, people: Sequence[UserId]
    ) -> Mapping[UserId, Relation]:
        """The viewer's relation to each of up to 1,000 people; all are in the answer.

        A viewer of 0 is somebody without an account. Raises Unavailable
        RELATIONS_UNAVAILABLE when svc_graph does not answer.
        """
        ...


class PostCodec(Protocol):
    """Turns posts into the bytes that are stored and joined, and back."""

    def encode(self, post: Post) -> PostBytes: ...

    def decode(self, body: PostBytes, *, version: int) -> Post: ...


class StoredPosts(Protocol):
    """Reads of posts, whoever may see them."""

    async def find(
        self, post_ids: Sequence[PostId], *, viewer: UserId
    ) -> dict[PostId, Record]:
        """Those that exist. With a viewer of 0 nobody did anything."""
        ...

    async def facts(self, post_ids: Sequence[PostId]) -> dict[PostId, PostFacts]:
        """Author and visibility of those that exist."""
        ...

    async def by_author(
        self, author: UserId, *, viewer: UserId, before: int, limit: int
    ) -> list[Record]:
        """The author's posts with an id below `before`, newest first."""
        ...

    async def recent(
        self, authors: Sequence[UserId], *, after: int, before: int, limit: int
    ) -> list[tuple[PostId, UserId]]:
        """Up to `limit` posts of each author between the bounds (both exclusive).

        Newest first over all of them.
        """
        ...

    async def was_deleted_by(self, author: UserId, post_id: PostId) -> bool:
        """Whether there was such a post of the author, and it is deleted."""
        ...


class NewPosts(Protocol):
    """Where posts are added."""

    async def add(self, batch: Sequence[NewPost]) -> list[Created | MeshError]:
        """Stores a batch in one transaction and answers each post by itself.

        A request key seen before answers the post it made, with replayed set;
        with another digest, Aborted REQUEST_ID_CONFLICT; where that post is gone,
        NotFound POST_NOT_FOUND. A person's second share of a post answers the
        first. A share whose original is gone is POST_NOT_FOUND, and one whose
        original is not public any more POST_NOT_SHAREABLE. Raises when the
        transaction as a whole failed: then none is stored.
        """
        ...

    async def replay(self, request: RequestKey) -> Created | None:
        """What an earlier request of this key made; None when there was none.

        Raises as add answers.
        """
        ...


class PostChanges(Protocol):
    """Edits and deletes, each one transaction with its event."""

    async def edit(
        self,
        post_id: PostId,
        rewrite: Callable[[StoredPost], StoredPost],
        *,
        request: RequestKey | None,
    ) -> StoredPost:
        """Replaces the locked post by what rewrite makes of it.

        rewrite may raise, and then nothing changes; a post that it returns as it
        is stays as it is. The version of the result must be one higher. A request
        key seen before changes nothing and answers the post as it is now. Raises
        NotFound POST_NOT_FOUND when there is none.
        """
        ...

    async def delete(
        self, post_id: PostId, check: Callable[[StoredPost], None]
    ) -> None:
        """Deletes the locked post unless check raises.

        Its shares, likes and comments follow by event. Raises NotFound
        POST_NOT_FOUND when there is none.
        """
        ...

    async def erase_traces(self, post_id: PostId, *, limit: int) -> int:
        """Deletes up to `limit` shares, likes and comments of a deleted post.

        Answers how many it deleted; 0 means that none are left.
        """
        ...


class Reactions(Protocol):
    """Likes and shares by person."""

    async def like(self, user: UserId, post_id: PostId) -> Actions:
        """Puts the like in place and answers what the person now did.

        Liking twice changes nothing. Raises NotFound POST_NOT_FOUND when the
        post is gone.
        """
        ...

    async def unlike(self, user: UserId, post_id: PostId) -> Actions:
        """Takes the like back. Nothing to take back changes nothing."""
        ...

    async def unshare(self, user: UserId, original: PostId) -> None:
        """Deletes the person's share. Nothing to delete changes nothing."""
        ...

    async def likes(self, post_id: PostId, *, before: int, limit: int) -> list[Like]:
        """Likes with a like id below `before`, newest first."""
        ...

    async def did(self, user: UserId) -> Did:
        """The person's likes and shares of the newest posts, and their version."""
        ...


class Comments(Protocol):
    """Remarks under posts."""

    async def add(
        self, comment: Comment, *, request: RequestKey | None
    ) -> tuple[Comment, bool]:
        """Stores a comment; True beside it when the request had stored it before.

        Raises Aborted REQUEST_ID_CONFLICT for another body, and NotFound
        COMMENT_NOT_FOUND for a replay whose comment is gone, POST_NOT_FOUND
        when the post is gone.
        """
        ...

    async def replay(self, request: RequestKey) -> Comment | None:
        """What an earlier request of this key made; None when there was none."""
        ...

    async def find(self, comment_id: CommentId) -> Comment | None:
        """The comment; absence is ordinary."""
        ...

    async def under(self, post_id: PostId, *, before: int, limit: int) -> list[Comment]:
        """Comments with an id below `before`, newest first."""
        ...

    async def delete(
        self, comment: Comment, *, by: UserId, request: RequestKey | None
    ) -> None:
        """Deletes the comment; one that is gone is left gone."""
        ...

    async def was_deleted(self, request: RequestKey) -> bool:
        """Whether an earlier request of this key deleted its comment."""
        ...


class Tallies(Protocol):
    """Counts of posts, made from the base rows."""

    async def recount(self, post_ids: Sequence[PostId]) -> dict[PostId, Stats]:
        """Counts anew and keeps the result. Posts that do not exist are left out.

        Of two recounts at one time the later one holds, whichever ends first.
        """
        ...

    async def compare(self, *, after: PostId, limit: int) -> Compared:
        """Counts the next posts after an id and stores nothing.

        A post of which no counts are kept is compared with zeros.
        """
        ...

    async def compare_these(self, post_ids: Sequence[PostId]) -> list[Drift]:
        """The same of these posts. Posts that do not exist are left out."""
        ...

    async def repair(
        self, post_ids: Sequence[PostId]
    ) -> tuple[list[Drift], dict[PostId, Stats]]:
        """Recounts, and answers beside it what that changed; audited if it did."""
        ...


class PersonalData(Protocol):
    """All that one person wrote or did."""

    async def erase_some(self, person: UserId, *, limit: int) -> int:
        """Deletes up to `limit` posts, comments, likes and shares of the person.

        One transaction with an event for each. Answers how many were deleted;
        0 means that nothing is left.
        """
        ...


class Tombstones(Protocol):
    """Which posts were deleted, and whose they were."""

    async def forget(self, before: datetime) -> None:
        """Forgets deletes before that instant."""
        ...


class HotPosts(Protocol):
    """Copies of posts, counts and actions that readers find without asking us.

    Nothing here fails a write: what cannot be told is made good by the events of
    the change, and no copy outlives its time to live.
    """

    async def created(self, posts: Sequence[StoredPost]) -> None:
        """Puts new posts among their authors' own and their bytes in place."""
        ...

    async def changing(self, posts: Mapping[PostId, int]) -> None:
        """Before a commit: no copy older than the version may be read or set."""
        ...

    async def changed(self, post: StoredPost) -> None:
        """After the commit of an edit: the new bytes."""
        ...

    async def deleted(self, posts: Mapping[PostId, int]) -> None:
        """After the commit of deletes, by version: never to be read again."""
        ...

    async def settle_change(self, post: StoredPost) -> None:
        """As changed, from the event of the edit. Raises when it cannot be told."""
        ...

    async def settle_delete(self, post_id: PostId, version: int) -> None:
        """As deleted, from the event of the delete. Raises when it cannot be told."""
        ...

    async def fill(self, records: Sequence[Record]) -> None:
        """Places bytes and counts just read from the record."""
        ...

    async def counted(self, stats: Mapping[PostId, Stats]) -> None:
        """New counts."""
        ...

    async def acting(self, user: UserId, version: int) -> None:
        """Before a commit: what the person did before this version is old."""
        ...

    async def acted(self, user: UserId, did: Did) -> None:
        """What the person did, newest posts first."""
        ...

    async def knows_actions(self, user: UserId) -> bool:
        """Whether a readable copy of what the person did is in place."""
        ...

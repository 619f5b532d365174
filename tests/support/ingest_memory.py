"""Twins of svc_ingest's ports in memory, for tests of its domain.

They pass the same suites as the stores: tests/contract/ingest_*_contract.py.
"""

from collections.abc import Mapping, Sequence

from chassis.errors import (
    Aborted,
    FailedPrecondition,
    MeshError,
    NotFound,
    Unavailable,
)

from domain.visibility import PostFacts, Relation, Visibility
from svc_ingest.model import (
    Actions,
    Created,
    NewPost,
    PostId,
    Record,
    RequestKey,
    Stats,
    StoredPost,
    UserId,
)


class MemoryGraph:
    """Graph from a dict; whoever is not in it is an active stranger."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, int], Relation] = {}
        self.calls: list[tuple[UserId, list[UserId]]] = []
        self.is_down = False

    async def relations(
        self, viewer: UserId, people: Sequence[UserId]
    ) -> Mapping[UserId, Relation]:
        self.calls.append((viewer, list(people)))
        if self.is_down:
            raise Unavailable("RELATIONS_UNAVAILABLE", retry_after=1.0)
        return {
            person: self.known.get((viewer, person), Relation()) for person in people
        }


class MemoryPosts:
    """StoredPosts and NewPosts over dicts."""

    def __init__(self) -> None:
        self._posts: dict[PostId, StoredPost] = {}
        self._requests: dict[tuple[UserId, str, str], tuple[bytes, PostId]] = {}
        self._deleted: dict[PostId, UserId] = {}

    async def find(
        self, post_ids: Sequence[PostId], *, viewer: UserId
    ) -> dict[PostId, Record]:
        return {
            post_id: self._record(self._posts[post_id], viewer)
            for post_id in post_ids
            if post_id in self._posts
        }

    async def facts(self, post_ids: Sequence[PostId]) -> dict[PostId, PostFacts]:
        found = await self.find(post_ids, viewer=UserId(0))
        return {post_id: record.post.facts for post_id, record in found.items()}

    async def by_author(
        self, author: UserId, *, viewer: UserId, before: int, limit: int
    ) -> list[Record]:
        newest = await self.recent([author], after=0, before=before, limit=limit)
        found = await self.find([post_id for post_id, _ in newest], viewer=viewer)
        return list(found.values())

    async def recent(
        self, authors: Sequence[UserId], *, after: int, before: int, limit: int
    ) -> list[tuple[PostId, UserId]]:
        found: list[tuple[PostId, UserId]] = []
        for author in authors:
            ids = [
                post.post_id
                for post in self._posts.values()
                if post.author_id == author and after < post.post_id < before
            ]
            newest = sorted(ids, reverse=True)[:limit]
            found += [(post_id, author) for post_id in newest]
        return sorted(found, reverse=True)

    async def was_deleted_by(self, author: UserId, post_id: PostId) -> bool:
        return self._deleted.get(post_id) == author

    async def add(self, batch: Sequence[NewPost]) -> list[Created | MeshError]:
        return [self._added(item) for item in batch]

    async def replay(self, request: RequestKey) -> Created | None:
        answer = self._replayed(request)
        if isinstance(answer, MeshError):
            raise answer
        return answer

    async def forget(self, post_id: PostId) -> None:
        """Deletes a post."""
        self._deleted[post_id] = self._posts.pop(post_id).author_id

    def _added(self, item: NewPost) -> Created | MeshError:
        if item.request is not None:
            earlier = self._replayed(item.request)
            if earlier is not None:
                return earlier
        answer = self._stored(item.post)
        if isinstance(answer, Created) and item.request is not None:
            key = _key(item.request)
            self._requests[key] = (item.request.digest, answer.post.post_id)
        return answer

    def _stored(self, post: StoredPost) -> Created | MeshError:
        if post.share_of:
            original = self._posts.get(post.share_of)
            if original is None:
                return NotFound("POST_NOT_FOUND")
            if original.visibility != Visibility.PUBLIC:
                return FailedPrecondition("POST_NOT_SHAREABLE")
            share = self._share(post.author_id, post.share_of)
            if share is not None:
                return Created(share, replayed=True)
        self._posts[post.post_id] = post
        return Created(post, replayed=False)

    def _replayed(self, request: RequestKey) -> Created | MeshError | None:
        digest, post_id = self._requests.get(_key(request), (b"", PostId(0)))
        if not post_id:
            return None
        if digest != request.digest:
            return Aborted("REQUEST_ID_CONFLICT")
        if post_id not in self._posts:
            return NotFound("POST_NOT_FOUND")
        return Created(self._posts[post_id], replayed=True)

    def _share(self, person: UserId, original: PostId) -> StoredPost | None:
        for post in self._posts.values():
            if (post.author_id, post.share_of) == (person, original):
                return post
        return None

    def _record(self, post: StoredPost, viewer: UserId) -> Record:
        original = self._posts.get(post.share_of)
        shared = self._share(viewer, post.post_id) is not None
        return Record(
            post=post,
            stats=Stats(),
            actions=Actions(shared=shared),
            original=original.facts if original else None,
        )


def _key(request: RequestKey) -> tuple[UserId, str, str]:
    return request.caller, request.method, request.key

"""Where posts are added: many in one transaction, each answered by itself."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from feedmesh.ingest.v1.events_pb2 import PostPublished

from chassis.clock import Clock
from chassis.errors import Aborted, FailedPrecondition, MeshError, NotFound
from chassis.outbox import Draft, Outbox, OutboxRow
from chassis.postgres import Pool, Statements

from domain.visibility import Visibility

from . import store_audit, store_did, store_requests
from .model import Created, NewPost, PostId, RequestKey, StoredPost, UserId
from .ports import HotPosts
from .store import post_of

# Held until the commit, so that no original is deleted or narrowed in between.
ORIGINALS = """
SELECT post_id, visibility FROM post
WHERE post_id = ANY($1::bigint[])
ORDER BY post_id
FOR SHARE
"""

SHARE = """
INSERT INTO share (user_id, original_id, post_id)
SELECT user_id, original_id, post_id
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
    AS t (user_id, original_id, post_id)
ORDER BY user_id, original_id
ON CONFLICT (user_id, original_id) DO NOTHING
RETURNING post_id
"""

SHARED = """
SELECT s.user_id, s.original_id, s.post_id
FROM share s
JOIN unnest($1::bigint[], $2::bigint[]) AS t (user_id, original_id)
    USING (user_id, original_id)
"""

INSERT = """
INSERT INTO post
    (post_id, author_id, visibility, reply_to, share_of, quote_of, version, body)
SELECT post_id, author_id, visibility, reply_to, share_of, quote_of, version, body
FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[],
            $6::bigint[], $7::integer[], $8::bytea[])
    AS t (post_id, author_id, visibility, reply_to, share_of, quote_of, version, body)
"""

POSTS = """
SELECT post_id, author_id, visibility, reply_to, share_of, quote_of, version, body
FROM post WHERE post_id = ANY($1::bigint[])
"""


@dataclass(slots=True)
class _Batch:
    """A batch on its way: what is still to be stored, and what is answered."""

    items: Sequence[NewPost]
    open: dict[PostId, NewPost] = field(default_factory=dict)
    # Which post answers an item, instead of one of its own.
    replays: dict[PostId, PostId] = field(default_factory=dict)
    errors: dict[PostId, MeshError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.open = {item.post.post_id: item for item in self.items}

    def refuse(self, item: NewPost, error: MeshError) -> None:
        del self.open[item.post.post_id]
        self.errors[item.post.post_id] = error

    def answer_with(self, item: NewPost, post_id: PostId) -> None:
        del self.open[item.post.post_id]
        self.replays[item.post.post_id] = post_id


class PostgresNewPosts:
    """NewPosts on Postgres."""

    def __init__(
        self, *, pool: Pool, outbox: Outbox, hot: HotPosts, clock: Clock
    ) -> None:
        self._pool = pool
        self._outbox = outbox
        self._hot = hot
        self._clock = clock

    async def add(self, batch: Sequence[NewPost]) -> list[Created | MeshError]:
        state = _Batch(batch)
        async with self._pool.transaction() as tx:
            await self._claim(tx, state)
            await _share(tx, state)
            sharers = await self._sharing(tx, state)
            stored = [item.post for item in state.open.values()]
            await _insert(tx, stored)
            await self._outbox.append_rows(tx, [*map(self._event, state.open.values())])
            await store_audit.record_acting_in(
                tx,
                [
                    (item.call, "post.create", item.post.post_id)
                    for item in state.open.values()
                ],
            )
            earlier = await _posts(tx, state.replays.values())
        if stored:
            self._outbox.wake()
            await self._hot.created(stored)
            for person in sharers:
                await self._hot.acted(person, await store_did.did(self._pool, person))
        return [_answer(state, item, earlier) for item in batch]

    async def replay(self, request: RequestKey) -> Created | None:
        kept = await store_requests.earlier(self._pool, request)
        if kept is None:
            return None
        post_id = store_requests.unpacked(kept)
        posts = await _posts(self._pool, [post_id])
        if post_id not in posts:
            raise NotFound("POST_NOT_FOUND")
        return Created(posts[post_id], replayed=True)

    async def _claim(self, tx: Statements, state: _Batch) -> None:
        """Answers the items whose request is known; the others own their keys now."""
        first: dict[store_requests.Key, tuple[RequestKey, PostId]] = {}
        repeats: list[tuple[NewPost, RequestKey, tuple[bytes, PostId]]] = []
        for item in state.items:
            if item.request is None:
                continue
            own = (item.request, item.post.post_id)
            leader = first.setdefault(store_requests.key_of(item.request), own)
            if leader is not own:
                answer = (leader[0].digest, leader[1])
                repeats.append((item, item.request, answer))
        if not first:
            return
        taken = await store_requests.claim(
            tx, list(first.values()), now=self._clock.now()
        )
        for key, answer in taken.items():
            request, post_id = first[key]
            repeats.append((state.open[post_id], request, answer))
        for item, request, (digest, post_id) in repeats:
            if digest == request.digest:
                state.answer_with(item, post_id)
            else:
                state.refuse(item, Aborted("REQUEST_ID_CONFLICT"))

    async def _sharing(self, tx: Statements, state: _Batch) -> dict[UserId, int]:
        """What the sharers did changes with this batch: copies of it are old."""
        shares = [item.post for item in state.open.values() if item.post.share_of]
        versions = await store_did.bump(tx, (post.author_id for post in shares))
        for person, version in versions.items():
            await self._hot.acting(person, version)
        return versions

    def _event(self, item: NewPost) -> OutboxRow:
        """The row of the event, in the context of the call: with its trace."""
        post = item.post
        event = PostPublished(
            post_id=post.post_id,
            author_id=post.author_id,
            visibility=post.visibility,  # type: ignore[arg-type]  # the same numbers
            reply_to=post.reply_to,
            share_of=post.share_of,
            quote_of=post.quote_of,
        )
        draft = Draft(event, aggregate_id=post.post_id, version=post.version)
        return item.call.run(self._outbox.row, draft)


async def _share(tx: Statements, state: _Batch) -> None:
    """Keeps one share by a person of a post, and none of what may not be shared."""
    shares = [item for item in state.open.values() if item.post.share_of]
    if not shares:
        return
    wanted = sorted({item.post.share_of for item in shares})
    originals = {row[0]: row[1] for row in await tx.fetch(ORIGINALS, wanted)}
    for item in shares:
        visibility = originals.get(item.post.share_of)
        if visibility is None:
            await _give_up(tx, state, item, NotFound("POST_NOT_FOUND"))
        elif visibility != Visibility.PUBLIC:
            error = FailedPrecondition("POST_NOT_SHAREABLE")
            await _give_up(tx, state, item, error)
    shares = [item for item in shares if item.post.post_id in state.open]
    if not shares:
        return
    people = [item.post.author_id for item in shares]
    of = [item.post.share_of for item in shares]
    ids = [item.post.post_id for item in shares]
    new = {row[0] for row in await tx.fetch(SHARE, people, of, ids)}
    if len(new) == len(shares):
        return
    rows = await tx.fetch(SHARED, people, of)
    there = {(row[0], row[1]): PostId(row[2]) for row in rows}
    for item in shares:
        if item.post.post_id not in new:
            earlier = there[(item.post.author_id, item.post.share_of)]
            state.answer_with(item, earlier)
            if item.request is not None:
                await store_requests.redirect(tx, item.request, earlier)


async def _give_up(
    tx: Statements, state: _Batch, item: NewPost, error: MeshError
) -> None:
    state.refuse(item, error)
    if item.request is not None:
        await store_requests.release(tx, item.request)


async def _insert(tx: Statements, posts: Sequence[StoredPost]) -> None:
    if posts:
        await tx.execute(
            INSERT,
            [post.post_id for post in posts],
            [post.author_id for post in posts],
            [post.visibility for post in posts],
            [post.reply_to for post in posts],
            [post.share_of for post in posts],
            [post.quote_of for post in posts],
            [post.version for post in posts],
            [post.body for post in posts],
        )


async def _posts(
    statements: Statements, ids: Iterable[PostId]
) -> dict[PostId, StoredPost]:
    wanted = sorted(set(ids))
    rows = await statements.fetch(POSTS, wanted) if wanted else []
    return {PostId(row["post_id"]): post_of(row) for row in rows}


def _answer(
    state: _Batch, item: NewPost, earlier: dict[PostId, StoredPost]
) -> Created | MeshError:
    own = item.post.post_id
    if own in state.open:
        return Created(item.post, replayed=False)
    if own in state.errors:
        return state.errors[own]
    final = _final(state, own)
    if final in state.errors:
        return state.errors[final]
    post = earlier.get(final)
    return Created(post, replayed=True) if post else NotFound("POST_NOT_FOUND")


def _final(state: _Batch, post_id: PostId) -> PostId:
    """Where the replays lead: a repeat of a share that was there before, to that."""
    while post_id in state.replays:
        post_id = state.replays[post_id]
    return post_id

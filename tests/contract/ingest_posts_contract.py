"""The rules of svc_ingest's NewPosts and StoredPosts ports."""

from contextlib import AbstractAsyncContextManager
from contextvars import copy_context
from itertools import count
from typing import Protocol

from chassis.errors import Aborted, FailedPrecondition, MeshError, NotFound
from chassis.testing import refuses

from domain.visibility import Visibility
from svc_ingest.model import (
    ABOVE_ALL,
    NO_POST,
    Created,
    NewPost,
    PostId,
    RequestKey,
    StoredPost,
    UserId,
)
from svc_ingest.ports import NewPosts, StoredPosts

ANN, BOB, EVE = UserId(1), UserId(2), UserId(3)

_ids = count(1 << 40)


class Opened(Protocol):
    """Both ports over one place, and a way to delete from it."""

    @property
    def new(self) -> NewPosts: ...

    @property
    def stored(self) -> StoredPosts: ...

    async def forget(self, post_id: PostId) -> None: ...


def post(
    author: UserId = ANN,
    *,
    share_of: PostId = NO_POST,
    visibility: Visibility = Visibility.PUBLIC,
) -> StoredPost:
    post_id = PostId(next(_ids))
    return StoredPost(
        post_id=post_id,
        author_id=author,
        visibility=visibility,
        reply_to=NO_POST,
        share_of=share_of,
        quote_of=NO_POST,
        version=1,
        body=b"body of %d" % post_id,
    )


def new(stored: StoredPost, key: str = "", digest: bytes = b"d") -> NewPost:
    request = None
    if key:
        request = RequestKey(stored.author_id, "CreatePost", key, digest)
    return NewPost(post=stored, request=request, call=copy_context())


def posts_of(answers: list[Created | MeshError]) -> list[PostId | str]:
    """Ids of what was stored or found, reasons of what was refused."""
    return [
        answer.post.post_id if isinstance(answer, Created) else answer.reason
        for answer in answers
    ]


class PostsContract:
    """Rules every place for posts keeps. Subclasses say how to open an empty one."""

    def open_posts(self) -> AbstractAsyncContextManager[Opened]:
        raise NotImplementedError

    async def test_what_is_added_is_found(self) -> None:
        """All of a batch, byte for byte, and nothing that is not there."""
        async with self.open_posts() as opened:
            one, two = post(), post(BOB, visibility=Visibility.FRIENDS)
            answers = await opened.new.add([new(one), new(two)])
            missing = PostId(7)
            ids = [two.post_id, missing, one.post_id]
            found = await opened.stored.find(ids, viewer=EVE)

            assert answers == [Created(one, False), Created(two, False)]
            assert {record.post for record in found.values()} == {one, two}
            assert (await opened.stored.facts(ids)) == {
                one.post_id: one.facts,
                two.post_id: two.facts,
            }

    async def test_a_key_seen_before_answers_its_post(self) -> None:
        """In the same batch and in later ones; nothing more is stored."""
        async with self.open_posts() as opened:
            first, second, third = post(), post(), post()
            answers = await opened.new.add([new(first, "k"), new(second, "k")])
            answers += await opened.new.add([new(third, "k")])

            assert posts_of(answers) == [first.post_id] * 3
            ids = [second.post_id, third.post_id]
            assert await opened.stored.facts(ids) == {}

    async def test_another_digest_is_refused_alone(self) -> None:
        """The rest of the batch is stored."""
        async with self.open_posts() as opened:
            one, two, three = post(), post(), post()
            answers = await opened.new.add(
                [new(one, "k", b"x"), new(two, "k", b"y"), new(three)]
            )
            later = await opened.new.add([new(post(), "k", b"y")])

            assert isinstance(answers[1], Aborted)
            assert posts_of(answers) == [
                one.post_id,
                "REQUEST_ID_CONFLICT",
                three.post_id,
            ]
            assert posts_of(later) == ["REQUEST_ID_CONFLICT"]

    async def test_keys_belong_to_their_caller(self) -> None:
        """The same key of another person is another key."""
        async with self.open_posts() as opened:
            one, two = post(ANN), post(BOB)
            answers = await opened.new.add([new(one, "k", b"x"), new(two, "k", b"y")])

            assert posts_of(answers) == [one.post_id, two.post_id]

    async def test_replay_tells_what_a_key_made(self) -> None:
        """Nothing for a new key; and it does not use the key up."""
        async with self.open_posts() as opened:
            one = new(post(), "k")
            assert one.request is not None

            assert await opened.new.replay(one.request) is None
            assert posts_of(await opened.new.add([one])) == [one.post.post_id]
            assert await opened.new.replay(one.request) == Created(one.post, True)
            other = RequestKey(ANN, "CreatePost", "k", b"other")
            with refuses(Aborted, "REQUEST_ID_CONFLICT"):
                await opened.new.replay(other)

    async def test_a_replay_of_a_post_that_is_gone_says_so(self) -> None:
        """It is not stored a second time."""
        async with self.open_posts() as opened:
            one = new(post(), "k")
            assert one.request is not None
            await opened.new.add([one])
            await opened.forget(one.post.post_id)
            answers = await opened.new.add([new(post(), "k")])

            assert posts_of(answers) == ["POST_NOT_FOUND"]
            with refuses(NotFound, "POST_NOT_FOUND"):
                await opened.new.replay(one.request)

    async def test_one_share_by_a_person(self) -> None:
        """In one batch, in later ones, and by a key that repeats a later one."""
        async with self.open_posts() as opened:
            original = post()
            await opened.new.add([new(original)])
            first, second, third = (
                post(BOB, share_of=original.post_id) for _ in range(3)
            )
            answers = await opened.new.add([new(first), new(second, "k")])
            answers += await opened.new.add([new(third, "k")])
            others = await opened.new.add([new(post(EVE, share_of=original.post_id))])

            assert posts_of(answers) == [first.post_id] * 3
            assert isinstance(others[0], Created)
            assert not others[0].replayed
            found = await opened.stored.find([original.post_id], viewer=BOB)
            assert found[original.post_id].actions.shared

    async def test_a_share_needs_a_public_original(self) -> None:
        """Checked when it is stored; a refused request may come again."""
        async with self.open_posts() as opened:
            narrow = post(visibility=Visibility.FOLLOWERS)
            wide = post()
            await opened.new.add([new(narrow), new(wide)])
            answers = await opened.new.add(
                [
                    new(post(BOB, share_of=narrow.post_id), "k"),
                    new(post(BOB, share_of=PostId(7))),
                ]
            )
            share = post(BOB, share_of=wide.post_id)
            again = await opened.new.add([new(share, "k")])

            assert [type(answer) for answer in answers] == [
                FailedPrecondition,
                NotFound,
            ]
            assert posts_of(again) == [share.post_id]

    async def test_a_share_comes_with_its_original(self) -> None:
        """None where the original is gone."""
        async with self.open_posts() as opened:
            original = post()
            share = post(BOB, share_of=original.post_id)
            await opened.new.add([new(original)])
            await opened.new.add([new(share)])
            found = await opened.stored.find([share.post_id], viewer=EVE)
            assert found[share.post_id].original == original.facts
            await opened.forget(original.post_id)
            found = await opened.stored.find([share.post_id], viewer=EVE)

            assert found[share.post_id].original is None

    async def test_an_author_s_posts_come_newest_first(self) -> None:
        """Below a bound, up to a limit, of this author alone."""
        async with self.open_posts() as opened:
            mine = [post() for _ in range(4)]
            await opened.new.add([new(one) for one in [*mine, post(BOB)]])

            async def listed(before: int, limit: int) -> list[StoredPost]:
                records = await opened.stored.by_author(
                    ANN, viewer=EVE, before=before, limit=limit
                )
                return [record.post for record in records]

            assert await listed(ABOVE_ALL, 9) == mine[::-1]
            assert await listed(mine[3].post_id, 2) == [mine[2], mine[1]]
            assert await listed(mine[0].post_id, 9) == []

    async def test_recent_posts_are_limited_by_author(self) -> None:
        """Newest first over all authors; bounds are exclusive."""
        async with self.open_posts() as opened:
            made = [post(author) for author in (ANN, BOB, ANN, BOB, ANN)]
            await opened.new.add([new(one) for one in made])
            pairs = [(one.post_id, one.author_id) for one in made]

            async def recent(
                limit: int, after: int = 0, before: int = ABOVE_ALL
            ) -> list[tuple[PostId, UserId]]:
                return await opened.stored.recent(
                    [ANN, BOB, EVE], after=after, before=before, limit=limit
                )

            assert await recent(9) == pairs[::-1]
            assert await recent(1) == [pairs[4], pairs[3]]
            assert await recent(9, pairs[1][0], pairs[4][0]) == [pairs[3], pairs[2]]

    async def test_only_its_author_knows_of_a_deleted_post(self) -> None:
        """And only after it was deleted."""
        async with self.open_posts() as opened:
            one = post()
            await opened.new.add([new(one)])
            assert not await opened.stored.was_deleted_by(ANN, one.post_id)
            await opened.forget(one.post_id)

            assert await opened.stored.was_deleted_by(ANN, one.post_id)
            assert not await opened.stored.was_deleted_by(BOB, one.post_id)

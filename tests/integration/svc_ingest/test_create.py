"""Creating posts over gRPC, on real engines."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from feedmesh.ingest.v1 import post_pb2

from chassis.auth import Caller, Role, calling_as
from chassis.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    MeshError,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from chassis.testing import eventually, refuses

from tests.support.ingest import IngestRoom, acting, ingest_room

PUBLIC, FOLLOWERS, FRIENDS, PRIVATE = (
    post_pb2.VISIBILITY_PUBLIC,
    post_pb2.VISIBILITY_FOLLOWERS,
    post_pb2.VISIBILITY_FRIENDS,
    post_pb2.VISIBILITY_PRIVATE,
)


async def transactions(room: IngestRoom) -> int:
    """How many transactions stored the posts there are."""
    return int(await room.pool.fetchval("SELECT count(DISTINCT xmin::text) FROM post"))


async def test_a_post_is_stored_with_its_event() -> None:
    """The answer holds the post, and the outbox its event."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        answer = await room.create(ann, text="hello")

        assert answer.post.author_id == ann
        assert answer.post.text == "hello"
        assert answer.post.visibility == PUBLIC
        assert not answer.replayed
        assert await room.published() == ["post_published"]
        assert (await room.get(ann, answer.post.post_id)).post == answer.post


async def test_fifty_parallel_requests_of_one_id_store_one_post() -> None:
    """However a request is repeated, it has one effect and one answer."""
    async with ingest_room(commit_size=7) as room:
        [ann] = room.people(1)
        answers = await asyncio.gather(
            *(room.create(ann, text="once", request_id="r") for _ in range(50))
        )

        assert len({answer.post.post_id for answer in answers}) == 1
        assert sum(not answer.replayed for answer in answers) == 1
        assert await room.pool.fetchval("SELECT count(*) FROM post") == 1
        assert await room.published() == ["post_published"]


async def test_concurrent_posts_share_a_commit() -> None:
    """Sixty posts of one moment take a few transactions, not sixty."""
    async with ingest_room(commit_window=0.05) as room:
        [ann] = room.people(1)
        answers = await asyncio.gather(
            *(room.create(ann, text=str(n), request_id=str(n)) for n in range(60))
        )

        assert sorted(int(answer.post.text) for answer in answers) == list(range(60))
        assert await transactions(room) <= 6
        assert await room.published() == ["post_published"] * 60


async def test_one_bad_request_of_a_batch_fails_alone() -> None:
    """A conflict in a shared commit is its own request's business."""
    async with ingest_room(commit_window=0.05) as room:
        [ann] = room.people(1)
        answers: Sequence[Any] = await asyncio.gather(
            room.create(ann, text="one", request_id="r"),
            room.create(ann, text="two", request_id="r"),
            room.create(ann, text="three", request_id="s"),
            return_exceptions=True,
        )

        assert answers[0].post.text == "one"
        assert isinstance(answers[1], Aborted)
        assert answers[1].reason == "REQUEST_ID_CONFLICT"
        assert answers[2].post.text == "three"
        assert await transactions(room) == 1


async def test_a_lost_reply_is_made_good_by_a_retry() -> None:
    """A caller cut off after the commit gets the same post the second time."""
    async with ingest_room() as room:
        [ann] = room.people(1)

        async def stored() -> int:
            found = await room.pool.fetchval("SELECT max(post_id) FROM post")
            assert found is not None
            return int(found)

        cut = asyncio.get_running_loop().create_task(
            room.create(ann, text="hi", request_id="r")
        )
        post_id = await eventually(stored)
        cut.cancel()
        retried = await room.create(ann, text="hi", request_id="r")

        assert retried.replayed
        assert retried.post.post_id == post_id


async def test_another_body_under_the_same_id_is_refused() -> None:
    """The second request changes nothing."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        await room.create(ann, text="one", request_id="r")

        with refuses(Aborted, "REQUEST_ID_CONFLICT"):
            await room.create(ann, text="two", request_id="r")
        assert await room.published() == ["post_published"]


async def test_request_ids_belong_to_caller_and_method() -> None:
    """Somebody else's id, or one of another method, neither leaks nor conflicts."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        first = await room.create(ann, text="hi", request_id="r")
        other = await room.create(bob, text="hi", request_id="r")
        with acting(ann):
            shared = await room.posts.SharePost(
                post_pb2.SharePostRequest(post_id=other.post.post_id, request_id="r")
            )

        ids = {first.post.post_id, other.post.post_id, shared.post.post_id}
        assert len(ids) == 3
        assert [other.replayed, shared.replayed] == [False, False]


async def test_request_ids_are_stored_hashed_and_hold_no_text() -> None:
    """The table of requests holds neither the caller's key nor what was written."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        await room.create(ann, text="secret words", request_id="secret-key")
        row = await room.pool.fetchrow("SELECT * FROM request_record")

        assert row is not None
        stored = b"".join(v for v in row.values() if isinstance(v, bytes))
        assert b"secret" not in stored


async def test_a_replay_of_a_deleted_post_does_not_bring_it_back() -> None:
    """What is deleted is gone, also for the request that made it."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        post = await room.post(ann, "hi", request_id="r")
        await room.delete(ann, post)

        with refuses(NotFound, "POST_NOT_FOUND"):
            await room.create(ann, text="hi", request_id="r")


async def test_a_reply_is_replayed_after_its_parent_is_gone() -> None:
    """A repeat is answered as the first was, whatever became of the parent."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        parent = await room.post(ann)
        reply = await room.post(bob, "yes", reply_to=parent, request_id="r")
        await room.delete(ann, parent)
        again = await room.create(bob, text="yes", reply_to=parent, request_id="r")

        assert again.replayed
        assert again.post.post_id == reply
        with refuses(NotFound, "POST_NOT_FOUND"):
            await room.create(bob, text="yes", reply_to=parent, request_id="s")


async def test_sharing_again_answers_the_share_there_is() -> None:
    """One share by a person of a post, also when both come at once."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        post = await room.post(ann)
        answers = await asyncio.gather(*(room.share(bob, post) for _ in range(5)))
        by_create = await room.create(bob, share_of=post, request_id="r")
        repeated = await room.create(bob, share_of=post, request_id="r")

        assert {answer.post.post_id for answer in answers} == {by_create.post.post_id}
        assert sum(not answer.replayed for answer in answers) == 1
        assert by_create.replayed
        assert repeated.post == by_create.post
        assert await room.pool.fetchval("SELECT count(*) FROM post") == 2


async def test_a_share_of_a_share_is_one_of_the_original() -> None:
    """Shares and quotes of shares lead to what was written."""
    async with ingest_room() as room:
        ann, bob, eve = room.people(3)
        post = await room.post(ann)
        share = (await room.share(bob, post)).post.post_id
        second = await room.share(eve, share)
        quote = await room.create(eve, text="see", quote_of=share)

        assert second.post.share_of == post
        assert quote.post.quote_of == post


@pytest.mark.parametrize("visibility", [FOLLOWERS, FRIENDS, PRIVATE])
@pytest.mark.parametrize("kind", ["share_of", "quote_of"])
async def test_only_public_posts_are_shared_or_quoted(
    visibility: post_pb2.Visibility.ValueType, kind: str
) -> None:
    """Not even one's own, and nothing is stored."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        post = await room.post(ann, visibility=visibility)
        text = "" if kind == "share_of" else "see"

        with refuses(FailedPrecondition, "POST_NOT_SHAREABLE"):
            await room.create(ann, text=text, **{kind: post})
        assert await room.published() == ["post_published"]


async def test_posts_of_a_private_account_are_not_shared() -> None:
    """They are for followers, so they count as not public: for the author, too."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        room.graph.follow(bob, ann)
        room.graph.make(ann, [ann, bob], is_private=True)
        post = await room.post(ann)

        for user in (ann, bob):
            with refuses(FailedPrecondition, "POST_NOT_SHAREABLE"):
                await room.share(user, post)


@pytest.mark.parametrize("kind", ["reply_to", "share_of", "quote_of"])
async def test_hidden_and_missing_references_fail_alike(kind: str) -> None:
    """A reference tells nothing about posts that the author may not see."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        hidden = await room.post(ann, visibility=PRIVATE)
        text = "" if kind == "share_of" else "hm"
        errors = []
        for reference in (hidden, hidden + 1):
            with pytest.raises(NotFound) as caught:
                await room.create(bob, text=text, **{kind: reference})
            errors.append(vars(caught.value))

        assert errors[0] == errors[1]
        assert errors[0]["reason"] == "POST_NOT_FOUND"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"text": "x" * 501},
        {"text": "a\u202eb"},
        {"text": "hi", "share_of": 1},
        {"text": "hi", "reply_to": 1, "quote_of": 2},
        {"text": "hi", "visibility": 9},
        {"text": "hi", "request_id": "with space"},
        {"text": "hi", "reply_to": -1},
    ],
)
async def test_bad_requests_are_refused(fields: dict[str, Any]) -> None:
    """The rules of the contract hold, and nothing is stored."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        with refuses(InvalidArgument, "VALIDATION_FAILED"):
            await room.create(ann, **fields)

        assert await room.published() == []


async def test_nobody_posts_nothing() -> None:
    """A call without a person is refused."""
    async with ingest_room() as room:
        with refuses(Unauthenticated, "TOKEN_MISSING"):
            await room.create(0, text="hi")


async def test_without_relations_plain_posts_go_on_and_references_wait() -> None:
    """What needs svc_graph says so; what does not, does not."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        post = await room.post(ann)
        room.graph.is_down = True
        await room.post(bob, "still here")
        await room.post(ann, "to myself", reply_to=post)

        with refuses(Unavailable, "RELATIONS_UNAVAILABLE"):
            await room.post(bob, "hm", reply_to=post)


async def test_without_valkey_posts_are_accepted() -> None:
    """Copies are no part of the promise."""
    async with ingest_room(valkey_url="redis://127.0.0.1:1/0") as room:
        ann, bob = room.people(2)
        post = await room.post(ann)
        await room.update(ann, post, text="changed", mask=["text"])
        await room.like(bob, post)
        await room.share(bob, post)
        records = await room.batch(post, viewer=bob)

        assert records[0].post.text == "changed"
        assert records[0].viewer == post_pb2.ViewerState(liked=True, shared=True)
        await room.delete(ann, post)


async def test_without_nats_posts_wait_in_the_outbox() -> None:
    """The bus is a pipe: a post is accepted without it."""
    async with ingest_room(nats_url="nats://127.0.0.1:1") as room:
        [ann] = room.people(1)
        await room.post(ann)

        assert await room.published() == ["post_published"]


async def test_what_a_service_writes_for_a_person_is_audited() -> None:
    """One row for each post, and none for what people write themselves."""
    async with ingest_room(commit_window=0.05) as room:
        ann, bob = room.people(2)
        importer = Caller(
            user_id=ann, role=Role.SERVICE, service="importer", acting_for=True
        )
        with calling_as(importer):
            request = post_pb2.CreatePostRequest(text="hi")
            theirs, _ = await asyncio.gather(
                room.posts.CreatePost(request), room.post(bob)
            )
        rows = await room.pool.fetch("SELECT who, what, target FROM audit")

        assert [tuple(row) for row in rows] == [
            (
                f"service:importer for user:{ann}",
                "post.create",
                str(theirs.post.post_id),
            )
        ]


async def test_a_batch_that_cannot_commit_answers_nobody_with_success() -> None:
    """When the transaction fails, every post of it fails."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        await room.pool.execute("ALTER TABLE outbox RENAME TO outbox_away")
        answers = await asyncio.gather(
            *(room.create(ann, text="hi") for _ in range(3)), return_exceptions=True
        )

        assert all(isinstance(answer, MeshError) for answer in answers)
        assert await room.pool.fetchval("SELECT count(*) FROM post") == 0

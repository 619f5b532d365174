"""Consumers of svc_ingest, over the real bus."""

import asyncio

import pytest

from feedmesh.graph.v1.events_pb2 import UserDeleted
from feedmesh.ingest.v1 import post_pb2
from feedmesh.ingest.v1.events_pb2 import PostDeleted, PostLiked, PostUpdated
from feedmesh.types.v1.types_pb2 import EventEnvelope

from chassis import bus
from chassis.errors import NotFound
from chassis.freshness import VersionedBytes
from chassis.policy import event_subject
from chassis.testing import eventually, refuses

from tests.support.ingest import IngestRoom, acting, ingest_room


async def counts(room: IngestRoom, viewer: int, post: int) -> tuple[int, int, int]:
    """Likes, comments, shares, as a reader of the post is told."""
    stats = (await room.get(viewer, post)).stats
    return stats.like_count, stats.comment_count, stats.share_count


async def copied(room: IngestRoom, post: int) -> post_pb2.PostStats | None:
    """Counts as svc_feed finds them."""
    body = VersionedBytes.parse(await room.valkey.get(f"s:{post}"))
    return None if body is None else post_pb2.PostStats.FromString(body)


async def publish(
    room: IngestRoom,
    event: UserDeleted | PostLiked | PostDeleted | PostUpdated,
    event_id: str,
) -> None:
    async with bus.open_bus(room.settings.nats, name="test") as link:
        event.envelope.CopyFrom(EventEnvelope(event_id=event_id))
        if isinstance(event, PostDeleted | PostUpdated):
            event.envelope.aggregate_version = 9
        payload = event.SerializeToString()
        await link.publish(event_subject(type(event)), payload, msg_id=event_id)


async def test_counts_converge_to_the_rows() -> None:
    """Likes, comments and shares, put in place and taken back."""
    async with ingest_room() as room:
        ann, *people = room.people(6)
        post = await room.post(ann)
        await asyncio.gather(*(room.like(person, post) for person in people))
        made = [await room.comment(person, post) for person in people[:3]]
        await asyncio.gather(*(room.share(person, post) for person in people[:2]))

        async def is_counted(expected: tuple[int, int, int]) -> None:
            assert await counts(room, ann, post) == expected
            stats = await copied(room, post)
            assert stats is not None
            found = (stats.like_count, stats.comment_count, stats.share_count)
            assert found == expected

        await eventually(lambda: is_counted((5, 3, 2)))
        with acting(people[0]):
            await room.posts.UnlikePost(post_pb2.UnlikePostRequest(post_id=post))
            await room.posts.UnsharePost(post_pb2.UnsharePostRequest(post_id=post))
            await room.posts.DeleteComment(
                post_pb2.DeleteCommentRequest(comment_id=made[0])
            )
        await eventually(lambda: is_counted((4, 2, 1)))


async def test_an_event_that_comes_again_counts_once() -> None:
    """Counting is done from the rows: events only say where to look."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        post = await room.post(ann)
        await room.like(bob, post)

        async def version() -> int:
            found = await room.pool.fetchval("SELECT version FROM post_stats")
            assert found
            return int(found)

        before = await eventually(version)
        for number in range(3):
            event = PostLiked(post_id=post, user_id=bob, author_id=ann)
            await publish(room, event, f"again-{number}")

        async def was_recounted() -> None:
            assert await version() > before

        await eventually(was_recounted)
        assert await counts(room, ann, post) == (1, 0, 0)


async def test_counts_of_posts_that_never_were_are_not_kept() -> None:
    """A forged or belated event leaves no row behind."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        post = await room.post(ann)
        await publish(room, PostLiked(post_id=post + 1, user_id=bob), "forged")
        await room.like(bob, post)

        async def is_counted() -> None:
            assert await counts(room, ann, post) == (1, 0, 0)

        await eventually(is_counted)
        ids = await room.pool.fetch("SELECT post_id FROM post_stats")
        assert [row[0] for row in ids] == [post]


async def test_a_deleted_person_is_erased() -> None:
    """Posts, comments, likes and request ids go; each post tells that it is gone."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        posts = [await room.post(ann, request_id=str(n)) for n in range(3)]
        other = await room.post(bob)
        await room.like(ann, other)
        await room.share(ann, other)
        comment = await room.comment(ann, other)
        await room.share(bob, posts[0])

        async def is_counted(expected: tuple[int, int, int]) -> None:
            assert await counts(room, bob, other) == expected

        await eventually(lambda: is_counted((1, 1, 1)))
        await publish(room, UserDeleted(user_id=ann), "erase")
        await eventually(lambda: is_counted((0, 0, 0)))

        for post in posts:
            with refuses(NotFound, "POST_NOT_FOUND"):
                await room.get(bob, post)
        assert comment

        async def is_erased() -> None:
            for table, column in (
                ("post", "author_id"),
                ("comment", "author_id"),
                ("post_like", "user_id"),
                ("share", "user_id"),
                ("viewer_version", "user_id"),
                ("request_record", "caller_id"),
            ):
                sql = f"SELECT count(*) FROM {table} WHERE {column} = $1"  # noqa: S608 - names of our own
                assert await room.pool.fetchval(sql, ann) == 0, table
            # Their three, their share, and Bob's share of one of them.
            assert (await room.published()).count("post_deleted") == 5

        await eventually(is_erased)
        await publish(room, UserDeleted(user_id=ann), "erase-again")
        assert (await room.get(bob, other)).post.post_id == other


@pytest.mark.parametrize("kind", ["edited", "deleted"])
async def test_a_copy_that_a_change_did_not_reach_is_made_good(kind: str) -> None:
    """The event of the change does what its call could not: Valkey was away, say."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        post = await room.post(ann, "old")
        raw = await room.valkey.get(f"p:{post}")
        assert raw is not None
        if kind == "edited":
            await room.update(ann, post, text="new", mask=["text"])
        else:
            await room.delete(ann, post)
        await room.valkey.set(f"p:{post}", raw)

        event: PostUpdated | PostDeleted = PostDeleted(post_id=post, author_id=ann)
        if kind == "edited":
            event = PostUpdated(post_id=post, author_id=ann)
        await publish(room, event, "again")

        async def is_made_good() -> None:
            found = await room.valkey.get(f"p:{post}")
            if kind == "deleted":
                assert VersionedBytes.is_gone(found)
            else:
                body = VersionedBytes.parse(found)
                assert body is not None
                assert post_pb2.Post.FromString(body).text == "new"

        await eventually(is_made_good)


async def test_a_post_that_is_there_is_left_alone() -> None:
    """A forged delete event deletes neither its traces nor its copy."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        post, other = await room.post(ann), await room.post(ann)
        await room.like(bob, post)
        await publish(room, PostDeleted(post_id=post, author_id=ann), "forged")
        await room.like(bob, other)
        await room.delete(ann, other)

        async def was_handled() -> None:
            assert await room.pool.fetchval("SELECT count(*) FROM post_like") == 1

        await eventually(was_handled)
        assert (await room.get(bob, post)).viewer.liked
        assert VersionedBytes.parse(await room.valkey.get(f"p:{post}")) is not None

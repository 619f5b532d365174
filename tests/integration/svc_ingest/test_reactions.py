"""Likes, shares taken back, comments: over gRPC, on real engines."""

import asyncio

import pytest

from feedmesh.ingest.v1 import post_pb2

from chassis import packed
from chassis.errors import Aborted, InvalidArgument, NotFound, PermissionDenied
from chassis.freshness import VersionedBytes
from chassis.testing import refuses

from domain.visibility import UserState
from tests.support.ingest import IngestRoom, acting, ingest_room

LIKED, SHARED = 1, 2


async def did(room: IngestRoom, user: int) -> dict[int, int] | None:
    """What the person did, as svc_feed reads it."""
    body = VersionedBytes.parse(await room.valkey.get(f"did:{{{user}}}"))
    return None if body is None else dict(packed.unpack(body))


async def unlike(room: IngestRoom, user: int, post_id: int) -> post_pb2.ViewerState:
    with acting(user):
        answer = await room.posts.UnlikePost(
            post_pb2.UnlikePostRequest(post_id=post_id)
        )
    return answer.viewer


async def unshare(room: IngestRoom, user: int, post_id: int) -> None:
    with acting(user):
        await room.posts.UnsharePost(post_pb2.UnsharePostRequest(post_id=post_id))


async def likers(
    room: IngestRoom, viewer: int, post_id: int, size: int = 50, token: str = ""
) -> post_pb2.ListLikesResponse:
    with acting(viewer):
        return await room.posts.ListLikes(
            post_pb2.ListLikesRequest(post_id=post_id, page_size=size, page_token=token)
        )


async def comments(
    room: IngestRoom, viewer: int, post_id: int, size: int = 50, token: str = ""
) -> post_pb2.ListCommentsResponse:
    with acting(viewer):
        return await room.posts.ListComments(
            post_pb2.ListCommentsRequest(
                post_id=post_id, page_size=size, page_token=token
            )
        )


async def delete_comment(
    room: IngestRoom, user: int, comment_id: int, request_id: str = ""
) -> None:
    with acting(user):
        await room.posts.DeleteComment(
            post_pb2.DeleteCommentRequest(comment_id=comment_id, request_id=request_id)
        )


async def test_liking_and_unliking_twice_changes_nothing() -> None:
    """One event each, however often and however many at once."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        post = await room.post(ann)
        answers = await asyncio.gather(*(room.like(bob, post) for _ in range(5)))

        assert all(answer.viewer.liked for answer in answers)
        assert (await room.get(bob, post)).viewer.liked
        for _ in range(2):
            assert not (await unlike(room, bob, post)).liked
        assert await room.published() == [
            "post_published",
            "post_liked",
            "post_unliked",
        ]


async def test_what_a_person_did_is_found_in_valkey_with_the_answer() -> None:
    """Every like and share is in their packed list at once, and leaves it at once."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        one, two = await room.post(ann), await room.post(ann)
        await room.like(bob, one)
        await room.share(bob, one)
        await room.share(bob, two)

        assert await did(room, bob) == {one: LIKED | SHARED, two: SHARED}
        await unshare(room, bob, one)
        await unlike(room, bob, one)
        assert await did(room, bob) == {two: SHARED}


async def test_concurrent_actions_leave_the_newest_copy() -> None:
    """Whichever of two likes tells Valkey last, none of them is lost there."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        posts = [await room.post(ann) for _ in range(10)]
        await asyncio.gather(*(room.like(bob, post) for post in posts))

        assert await did(room, bob) == dict.fromkeys(posts, LIKED)


async def test_a_batch_for_a_viewer_fills_what_they_did() -> None:
    """A missing copy is made good by the batch that had to be asked instead."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        post = await room.post(ann)
        await room.like(bob, post)
        await room.valkey.delete(f"did:{{{bob}}}", f"p:{post}", f"s:{post}")
        [record] = await room.batch(post, viewer=bob)

        assert record.viewer.liked
        assert await did(room, bob) == {post: LIKED}
        assert VersionedBytes.parse(await room.valkey.get(f"s:{post}")) == b""
        found = VersionedBytes.parse(await room.valkey.get(f"p:{post}"))
        assert found == record.post.SerializeToString(deterministic=True)


async def test_unsharing_deletes_the_share() -> None:
    """Named by the original or by the share itself; a second time is no error."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        post = await room.post(ann)
        for named_by_share in (False, True):
            share = (await room.share(bob, post)).post.post_id
            await unshare(room, bob, share if named_by_share else post)

            with refuses(NotFound, "POST_NOT_FOUND"):
                await room.get(bob, share)
        await unshare(room, bob, post)
        assert not (await room.get(bob, post)).viewer.shared


async def test_likes_are_listed_newest_first_without_hidden_people() -> None:
    """Blocked and suspended people are left out, and pages are full all the same."""
    async with ingest_room() as room:
        ann, viewer, *people = room.people(8)
        post = await room.post(ann)
        for person in people:
            await room.like(person, post)
        room.graph.block(people[1], viewer)
        room.graph.make(people[4], [viewer], state=UserState.SUSPENDED)
        first = await likers(room, viewer, post, size=3)
        second = await likers(room, viewer, post, size=3, token=first.next_page_token)

        shown = [people[n] for n in (5, 3, 2, 0)]
        assert [*first.user_ids, *second.user_ids] == shown
        assert len(first.user_ids) == 3
        assert second.next_page_token == ""
        with refuses(InvalidArgument, "PAGE_TOKEN_INVALID"):
            await likers(room, ann, post, token=first.next_page_token)


async def test_comments_are_listed_newest_first_without_hidden_people() -> None:
    """As for likes; one's own are there."""
    async with ingest_room() as room:
        ann, viewer, eve = room.people(3)
        post = await room.post(ann)
        made = [await room.comment(person, post) for person in (ann, eve, viewer)]
        room.graph.block(viewer, eve)
        first = await comments(room, viewer, post, size=1)
        second = await comments(room, viewer, post, size=1, token=first.next_page_token)

        shown = [c.comment_id for page in (first, second) for c in page.comments]
        assert shown == [made[2], made[0]]
        assert second.next_page_token == ""
        assert first.comments[0].create_time.seconds > 0


async def test_fifty_parallel_comments_of_one_id_are_one() -> None:
    """A comment's request id works as a post's does."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        post = await room.post(ann)
        made = await asyncio.gather(
            *(room.comment(bob, post, request_id="r") for _ in range(50))
        )

        assert len(set(made)) == 1
        assert len((await comments(room, ann, post)).comments) == 1
        with refuses(Aborted, "REQUEST_ID_CONFLICT"):
            await room.comment(bob, post, "other", request_id="r")


async def test_a_failed_comment_does_not_use_up_its_request_id() -> None:
    """What was refused may be sent again when it can be done."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        post = await room.post(ann, visibility=2)
        with refuses(NotFound, "POST_NOT_FOUND"):
            await room.comment(bob, post, request_id="r")
        room.graph.follow(bob, ann)

        assert await room.comment(bob, post, request_id="r")


@pytest.mark.parametrize("who", ["its author", "author of the post"])
async def test_a_comment_is_deleted_by_its_author_or_the_post_s(who: str) -> None:
    """Anybody else who sees it is told so, and whoever does not, is not."""
    async with ingest_room() as room:
        ann, bob, eve = room.people(3)
        post = await room.post(ann)
        comment = await room.comment(bob, post)

        with refuses(PermissionDenied, "NOT_OWNER"):
            await delete_comment(room, eve, comment)
        room.graph.block(bob, eve)
        with refuses(NotFound, "COMMENT_NOT_FOUND"):
            await delete_comment(room, eve, comment)
        user = bob if who == "its author" else ann
        await delete_comment(room, user, comment, "r")
        await delete_comment(room, user, comment, "r")
        with refuses(NotFound, "COMMENT_NOT_FOUND"):
            await delete_comment(room, user, comment)
        assert (await room.published()).count("comment_deleted") == 1


async def test_recent_posts_come_by_author_and_bound() -> None:
    """Up to the limit of each author, newest first over all, between the bounds."""
    async with ingest_room() as room:
        ann, bob, eve = room.people(3)
        made = {
            author: [await room.post(author) for _ in range(4)] for author in (ann, bob)
        }

        async def recent(**bounds: int) -> list[tuple[int, int]]:
            answer = await room.internal.BatchListRecentPosts(
                post_pb2.BatchListRecentPostsRequest(
                    author_ids=[ann, bob, eve], **bounds
                )
            )
            return list(zip(answer.post_ids, answer.author_ids, strict=True))

        everything = [
            (post, author) for author in (bob, ann) for post in made[author][::-1]
        ]
        assert await recent() == everything
        assert await recent(limit=1) == [(made[bob][3], bob), (made[ann][3], ann)]
        assert await recent(after_post_id=made[bob][2]) == [(made[bob][3], bob)]
        assert await recent(before_post_id=made[ann][1]) == [(made[ann][0], ann)]


async def test_a_batch_keeps_its_order_and_leaves_out_what_is_missing() -> None:
    """Whoever may see them: the calling service decides that."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        one = await room.post(ann, "one", visibility=4)
        two = await room.post(ann, "two")
        gone = await room.post(ann, "gone")
        await room.delete(ann, gone)
        records = await room.batch(two, gone, one, 5)

        assert [record.post.text for record in records] == ["two", "one"]
        assert [record.version for record in records] == [1, 1]

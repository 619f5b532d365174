"""Missing and forbidden are one answer, byte for byte, on every path of this room."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from feedmesh.ingest.v1 import post_pb2

from chassis.errors import MeshError, NotFound
from chassis.testing import eventually, refuses
from chassis.wire import to_status

from domain.visibility import UserState
from tests.support.ingest import IngestRoom, acting, ingest_room

PUBLIC, FOLLOWERS, FRIENDS, PRIVATE = range(1, 5)

Call = Callable[[Any, int], Awaitable[object]]

# Every RPC that names a post. What services call, who see all, is not here.
PATHS: dict[str, Call] = {
    "GetPost": lambda stub, post: stub.GetPost(post_pb2.GetPostRequest(post_id=post)),
    "UpdatePost": lambda stub, post: stub.UpdatePost(
        post_pb2.UpdatePostRequest(
            post=post_pb2.Post(post_id=post, text="x"),
            update_mask=FieldMask(paths=["text"]),
        )
    ),
    "DeletePost": lambda stub, post: stub.DeletePost(
        post_pb2.DeletePostRequest(post_id=post)
    ),
    "SharePost": lambda stub, post: stub.SharePost(
        post_pb2.SharePostRequest(post_id=post, request_id="share")
    ),
    "UnsharePost": lambda stub, post: stub.UnsharePost(
        post_pb2.UnsharePostRequest(post_id=post)
    ),
    "LikePost": lambda stub, post: stub.LikePost(
        post_pb2.LikePostRequest(post_id=post)
    ),
    "UnlikePost": lambda stub, post: stub.UnlikePost(
        post_pb2.UnlikePostRequest(post_id=post)
    ),
    "ListLikes": lambda stub, post: stub.ListLikes(
        post_pb2.ListLikesRequest(post_id=post)
    ),
    "ListComments": lambda stub, post: stub.ListComments(
        post_pb2.ListCommentsRequest(post_id=post)
    ),
    "CreateComment": lambda stub, post: stub.CreateComment(
        post_pb2.CreateCommentRequest(post_id=post, text="hm", request_id="comment")
    ),
    "CreatePost, reply": lambda stub, post: stub.CreatePost(
        post_pb2.CreatePostRequest(text="hm", reply_to=post, request_id="reply")
    ),
    "CreatePost, share": lambda stub, post: stub.CreatePost(
        post_pb2.CreatePostRequest(share_of=post, request_id="share")
    ),
    "CreatePost, quote": lambda stub, post: stub.CreatePost(
        post_pb2.CreatePostRequest(text="hm", quote_of=post, request_id="quote")
    ),
}

# RPCs of the service that name no single post, or are for services and operators.
OTHERS = {
    *("BatchGetPosts", "BatchListRecentPosts", "ListUserPosts", "ReconcileCounters"),
    "DeleteComment",
}


async def refused(call: Awaitable[object]) -> tuple[bytes, str]:
    """An error as it goes over the wire, and its reason."""
    with pytest.raises(MeshError) as caught:
        await call
    return to_status(caught.value).SerializeToString(), caught.value.reason


async def hidden_posts(room: IngestRoom, viewer: int) -> dict[str, int]:
    """Posts that the viewer may not see now, each for a reason of its own."""
    ann, bob, eve, zoe = room.people(4)
    narrowed, gone = [await room.post(ann) for _ in range(2)]
    suspended, private = await room.post(zoe), await room.post(ann, visibility=PRIVATE)
    originals = [await room.post(bob) for _ in range(2)]
    shares = [(await room.share(ann, post)).post.post_id for post in originals]
    of_blocked = await room.post(eve)
    for post in (narrowed, gone, suspended, *shares, of_blocked):
        assert (await room.get(viewer, post)).post.post_id == post
    await room.update(ann, narrowed, visibility=FOLLOWERS, mask=["visibility"])
    await room.delete(ann, gone)
    await room.update(bob, originals[0], visibility=FRIENDS, mask=["visibility"])
    await room.delete(bob, originals[1])
    room.graph.block(eve, viewer)
    room.graph.make(zoe, [viewer], state=UserState.SUSPENDED)
    return {
        "never was": private + 1,
        "private": private,
        "narrowed": narrowed,
        "deleted": gone,
        "author suspended": suspended,
        "author blocks": of_blocked,
        "share of a narrowed one": shares[0],
        "share of a deleted one": shares[1],
    }


def test_every_path_is_looked_at() -> None:
    """A new RPC has to say here which of both it is."""
    methods = post_pb2.DESCRIPTOR.services_by_name["PostService"].methods_by_name

    assert {name.partition(",")[0] for name in PATHS} | OTHERS == {*methods}


async def test_whatever_hides_a_post_the_answer_is_that_of_a_missing_one() -> None:
    """On each path, and after a change as before it."""
    async with ingest_room() as room:
        [viewer] = room.people(1)
        posts = await hidden_posts(room, viewer)
        for path, call in PATHS.items():
            answers = {}
            with acting(viewer):
                for name, post in posts.items():
                    answers[name] = await refused(call(room.posts, post))

            missing = answers["never was"]
            assert missing[1] == "POST_NOT_FOUND", path
            assert {name: answer == missing for name, answer in answers.items()} == (
                dict.fromkeys(answers, True)
            ), path


async def test_a_person_who_is_hidden_is_one_who_never_was() -> None:
    """Lists of posts by an author: gone, suspended or blocked either way."""
    async with ingest_room() as room:
        viewer, *people = room.people(5)
        gone, suspended, blocks, blocked = people
        for person in people:
            await room.post(person)
        room.graph.make(gone, [viewer], state=UserState.DELETED)
        room.graph.make(suspended, [viewer], state=UserState.SUSPENDED)
        room.graph.block(blocks, viewer)
        room.graph.block(viewer, blocked)
        answers = {await refused(room.author_list(viewer, person)) for person in people}

        assert len(answers) == 1
        assert {reason for _, reason in answers} == {"USER_NOT_FOUND"}


async def test_hidden_comments_are_missing_ones() -> None:
    """Under a post that is not seen any more, or by somebody who blocks."""
    async with ingest_room() as room:
        ann, bob, viewer = room.people(3)
        narrowed, other = await room.post(ann), await room.post(ann)
        comments = [await room.comment(bob, post) for post in (narrowed, other)]
        await room.update(ann, narrowed, visibility=PRIVATE, mask=["visibility"])
        room.graph.block(bob, viewer)
        with acting(viewer):
            answers = {
                await refused(
                    room.posts.DeleteComment(
                        post_pb2.DeleteCommentRequest(comment_id=comment)
                    )
                )
                for comment in (*comments, comments[1] + 1)
            }

        assert {reason for _, reason in answers} == {"COMMENT_NOT_FOUND"}
        assert len(answers) == 1


async def test_a_share_vanishes_with_its_original_from_every_list() -> None:
    """At once, from the sharer as well: the event of the deletion may take its time."""
    async with ingest_room() as room:
        ann, bob, viewer = room.people(3)
        kept = await room.post(bob)
        for change in ("narrowed", "deleted"):
            post = await room.post(ann)
            share = (await room.share(bob, post)).post.post_id
            assert share in await listed(room, viewer, bob)
            if change == "narrowed":
                await room.update(ann, post, visibility=PRIVATE, mask=["visibility"])
            else:
                await room.delete(ann, post)

            for reader in (viewer, bob):
                assert await listed(room, reader, bob) == [kept], change
                with refuses(NotFound, "POST_NOT_FOUND"):
                    await room.get(reader, share)


async def test_a_quote_stays_and_shows_nothing_of_what_it_quotes() -> None:
    """It says something of its own; what it quotes is asked for by itself."""
    async with ingest_room() as room:
        ann, bob, viewer = room.people(3)
        post = await room.post(ann, "the secret")
        quote = await room.post(bob, "so true", quote_of=post)
        await room.update(ann, post, visibility=PRIVATE, mask=["visibility"])

        assert b"secret" not in (await room.get(viewer, quote)).SerializeToString()
        assert await listed(room, viewer, bob) == [quote]
        with refuses(NotFound, "POST_NOT_FOUND"):
            await room.get(viewer, post)


async def test_a_repeat_answers_with_what_is_the_caller_s_own() -> None:
    """Nothing of the post it referred to, which the caller may not see any more."""
    async with ingest_room() as room:
        ann, viewer = room.people(2)
        post = await room.post(ann, "the secret")
        with acting(viewer):
            own = [await PATHS[path](room.posts, post) for path in REPEATED]
        await room.update(ann, post, visibility=PRIVATE, mask=["visibility"])
        with acting(viewer):
            again: list[Any] = [
                await PATHS[path](room.posts, post) for path in REPEATED
            ]

        for before, answer in zip(own, again, strict=True):
            body = answer.SerializeToString()
            assert answer.replayed
            assert b"secret" not in body
            answer.ClearField("replayed")
            assert answer == before


async def test_a_repeat_after_one_s_own_delete_is_answered_as_missing() -> None:
    """The post is gone for its author, too."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        post = (await room.create(ann, text="hm", request_id="once")).post.post_id
        await room.delete(ann, post)

        async def is_gone() -> None:
            with refuses(NotFound, "POST_NOT_FOUND"):
                await room.create(ann, text="hm", request_id="once")

        await eventually(is_gone)
        again = await refused(room.create(ann, text="hm", request_id="once"))
        assert again == await refused(room.get(ann, post + 1))


async def test_somebody_else_s_request_id_answers_nothing() -> None:
    """Keys belong to who made them: no guess finds another person's answer."""
    async with ingest_room() as room:
        ann, viewer = room.people(2)
        secret = await room.create(
            ann, text="the secret", visibility=PRIVATE, request_id="guess"
        )
        own = await room.create(
            viewer, text="the secret", visibility=PRIVATE, request_id="guess"
        )

        assert not own.replayed
        assert own.post.post_id != secret.post.post_id


REPEATED = (
    *("SharePost", "CreateComment", "CreatePost, reply"),
    "CreatePost, quote",
)


async def listed(room: IngestRoom, viewer: int, author: int) -> list[int]:
    page = await room.author_list(viewer, author)
    return [item.post.post_id for item in page.items]

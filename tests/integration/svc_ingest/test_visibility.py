"""Who may see which post, on every path of this room. The table is kept by hand."""

from collections.abc import Awaitable, Callable

import pytest

from feedmesh.ingest.v1 import post_pb2

from chassis.errors import NotFound, Unavailable
from chassis.testing import refuses

from domain.visibility import UserState
from tests.support.ingest import GraphBook, IngestRoom, acting, ingest_room

PUBLIC, FOLLOWERS, FRIENDS, PRIVATE = range(1, 5)

# Sets how a viewer stands to Ann: graph, Ann, viewer.
Setup = Callable[[GraphBook, int, int], None]


def mutual(graph: GraphBook, ann: int, viewer: int) -> None:
    graph.follow(viewer, ann)
    graph.follow(ann, viewer)


def ex_follower(graph: GraphBook, ann: int, viewer: int) -> None:
    graph.follow(viewer, ann)
    graph.make(ann, [viewer], is_following=False)


def both_block(graph: GraphBook, ann: int, viewer: int) -> None:
    graph.block(ann, viewer)
    graph.block(viewer, ann)


def of_account(**facts: object) -> Setup:
    return lambda graph, ann, viewer: graph.make(ann, [viewer], **facts)


SUSPENDED, DELETED = UserState.SUSPENDED, UserState.DELETED

# How the viewer stands to Ann, and the visibilities of her posts that are seen.
RELATIONS: dict[str, tuple[Setup, set[int]]] = {
    "stranger": (lambda graph, ann, viewer: None, {PUBLIC}),
    "follower": (
        lambda graph, ann, viewer: graph.follow(viewer, ann),
        {PUBLIC, FOLLOWERS},
    ),
    "followed by": (lambda graph, ann, viewer: graph.follow(ann, viewer), {PUBLIC}),
    "mutual": (mutual, {PUBLIC, FOLLOWERS, FRIENDS}),
    "ex-follower": (ex_follower, {PUBLIC}),
    "muted": (of_account(is_muting=True), {PUBLIC}),
    "blocked by author": (
        lambda graph, ann, viewer: graph.block(ann, viewer),
        set(),
    ),
    "blocks author": (lambda graph, ann, viewer: graph.block(viewer, ann), set()),
    "both block": (both_block, set()),
    "private, stranger": (of_account(is_private=True), set()),
    "private, follower": (
        of_account(is_private=True, is_following=True),
        {PUBLIC, FOLLOWERS},
    ),
    "suspended": (of_account(state=SUSPENDED, is_following=True), set()),
    "deleted": (of_account(state=DELETED, is_following=True), set()),
}


async def allowed(call: Awaitable[object], reason: str = "POST_NOT_FOUND") -> bool:
    """Whether a call is answered; refused, it must be for this reason."""
    try:
        await call
    except NotFound as error:
        return _refused(error, reason)
    return True


def _refused(error: NotFound, reason: str) -> bool:
    assert error.reason == reason
    return False


async def is_listed(room: IngestRoom, viewer: int, author: int, post_id: int) -> bool:
    if not await allowed(room.author_list(viewer, author), "USER_NOT_FOUND"):
        return False
    page = await room.author_list(viewer, author)
    return post_id in [item.post.post_id for item in page.items]


async def every_answer(room: IngestRoom, viewer: int, post_id: int) -> set[bool]:
    """What the paths to one post say."""
    stub = room.posts
    with acting(viewer):
        return {
            await allowed(call)
            for call in (
                stub.GetPost(post_pb2.GetPostRequest(post_id=post_id)),
                stub.LikePost(post_pb2.LikePostRequest(post_id=post_id)),
                stub.UnlikePost(post_pb2.UnlikePostRequest(post_id=post_id)),
                stub.UnsharePost(post_pb2.UnsharePostRequest(post_id=post_id)),
                stub.ListLikes(post_pb2.ListLikesRequest(post_id=post_id)),
                stub.ListComments(post_pb2.ListCommentsRequest(post_id=post_id)),
                stub.CreateComment(
                    post_pb2.CreateCommentRequest(post_id=post_id, text="hm")
                ),
                stub.CreatePost(
                    post_pb2.CreatePostRequest(text="hm", reply_to=post_id)
                ),
            )
        }


async def test_every_path_decides_alike() -> None:
    """Single post, author list, likes, comments and replies follow one table."""
    async with ingest_room() as room:
        for name, (set_up, seen) in RELATIONS.items():
            ann, viewer = room.people(2)
            set_up(room.graph, ann, viewer)
            for visibility in (PUBLIC, FOLLOWERS, FRIENDS, PRIVATE):
                post = await room.post(ann, visibility=visibility)
                expected = visibility in seen
                cell = (name, visibility)

                assert await every_answer(room, viewer, post) == {expected}, cell
                listed = await is_listed(room, viewer, ann, post)
                assert listed is expected, cell
                assert await allowed(room.get(ann, post)), cell


async def test_a_change_holds_from_the_next_read_on() -> None:
    """The relation after a post was read decides about the second read."""
    async with ingest_room() as room:
        for name, (set_up, seen) in RELATIONS.items():
            ann, viewer = room.people(2)
            post = await room.post(ann)
            assert await allowed(room.get(viewer, post)), name
            set_up(room.graph, ann, viewer)

            assert await allowed(room.get(viewer, post)) is (PUBLIC in seen), name


async def test_a_share_shows_no_more_than_its_original() -> None:
    """A share by somebody harmless is seen where the original is."""
    async with ingest_room() as room:
        for name, (set_up, seen) in RELATIONS.items():
            ann, viewer, bob = room.people(3)
            post = await room.post(ann)
            share = (await room.share(bob, post)).post.post_id
            set_up(room.graph, ann, viewer)
            expected = PUBLIC in seen

            assert await allowed(room.get(viewer, share)) is expected, name
            assert await is_listed(room, viewer, bob, share) is expected, name


async def test_a_share_of_a_narrowed_original_is_seen_by_its_audience() -> None:
    """An edit of the original counts for shares made before."""
    async with ingest_room() as room:
        ann, viewer, bob = room.people(3)
        post = await room.post(ann)
        share = (await room.share(bob, post)).post.post_id
        await room.update(ann, post, visibility=FOLLOWERS, mask=["visibility"])

        assert not await allowed(room.get(viewer, share))
        room.graph.follow(viewer, ann)
        assert await allowed(room.get(viewer, share))


async def test_without_an_account_public_posts_are_read() -> None:
    """GetPost is public: for public posts of public accounts."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        seen = await room.post(ann)
        hidden = await room.post(ann, visibility=FOLLOWERS)

        assert (await room.get(0, seen)).post.post_id == seen
        with refuses(NotFound, "POST_NOT_FOUND"):
            await room.get(0, hidden)
        room.graph.make(ann, [0], is_private=True)
        with refuses(NotFound, "POST_NOT_FOUND"):
            await room.get(0, seen)


async def test_missing_and_hidden_posts_answer_the_same_bytes() -> None:
    """And cost the same: both ask svc_graph once."""
    async with ingest_room() as room:
        ann, viewer = room.people(2)
        hidden = await room.post(ann, visibility=PRIVATE)
        gone = await room.post(ann)
        await room.delete(ann, gone)
        answers = []
        for post_id in (hidden, hidden + 1, gone):
            asked = room.graph.asked
            with acting(viewer):
                call = room.posts.GetPost(post_pb2.GetPostRequest(post_id=post_id))
                with pytest.raises(NotFound) as caught:
                    await call
            answers.append((vars(caught.value), room.graph.asked - asked))

        assert answers[0] == answers[1] == answers[2]
        assert answers[0][1] == 1


async def test_own_posts_need_no_relation() -> None:
    """Authors read their own with svc_graph down; others are told to wait."""
    async with ingest_room() as room:
        ann, viewer = room.people(2)
        post = await room.post(ann, visibility=PRIVATE)
        room.graph.is_down = True

        assert (await room.get(ann, post)).post.post_id == post
        assert len((await room.author_list(ann, ann)).items) == 1
        with refuses(Unavailable, "RELATIONS_UNAVAILABLE"):
            await room.get(viewer, post)
        with refuses(Unavailable, "RELATIONS_UNAVAILABLE"):
            await room.get(viewer, post + 1)


async def test_author_lists_page_through_what_is_visible() -> None:
    """Full pages, newest first, each visible post once, one relation call a page."""
    async with ingest_room() as room:
        ann, viewer = room.people(2)
        posts = [
            await room.post(ann, visibility=FOLLOWERS if n % 3 else PUBLIC)
            for n in range(15)
        ]
        asked = room.graph.asked
        first = await room.author_list(viewer, ann, size=2)
        rest = await room.author_list(viewer, ann, 10, first.next_page_token)

        found = [item.post.post_id for page in (first, rest) for item in page.items]
        assert found == [*reversed(posts[::3])]
        assert len(first.items) == 2
        assert rest.next_page_token == ""
        assert room.graph.asked - asked == 2

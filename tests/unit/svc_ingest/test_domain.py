"""Creation, audience and ownership, over the twins in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from chassis.errors import FailedPrecondition, NotFound, PermissionDenied, Unavailable
from chassis.ids import Ids
from chassis.testing import FakeClock, refuses

from domain.visibility import Relation, UserState, Visibility
from svc_ingest.audience import Audience
from svc_ingest.convert import PostFrames
from svc_ingest.creation import PostCreation
from svc_ingest.group_commit import open_group_commit
from svc_ingest.model import NO_POST, NOBODY, Created, Draft, PostId, UserId
from svc_ingest.ownership import require_owner
from tests.support.ingest_memory import MemoryGraph, MemoryPosts

ANN, BOB, EVE = UserId(1), UserId(2), UserId(3)


@dataclass
class Room:
    """The domain over twins."""

    creation: PostCreation
    audience: Audience
    posts: MemoryPosts
    graph: MemoryGraph

    async def post(
        self,
        author: UserId = ANN,
        *,
        text: str = "hi",
        visibility: Visibility = Visibility.PUBLIC,
        **reference: PostId,
    ) -> Created:
        kinds = dict.fromkeys(("reply_to", "share_of", "quote_of"), NO_POST)
        draft = Draft(author, text, visibility, **(kinds | reference))
        return await self.creation.create(draft, request=None)


@asynccontextmanager
async def room() -> AsyncIterator[Room]:
    posts, graph = MemoryPosts(), MemoryGraph()
    audience = Audience(posts=posts, graph=graph)
    async with open_group_commit(commit=posts.add, window=0, size=1) as group:
        creation = PostCreation(
            audience=audience,
            new_posts=posts,
            group=group,
            codec=PostFrames(),
            ids=Ids(clock=FakeClock(), node=1),
        )
        yield Room(creation, audience, posts, graph)


async def test_a_plain_post_asks_nobody() -> None:
    """svc_graph is not in its way."""
    async with room() as here:
        here.graph.is_down = True
        created = await here.post()

        assert here.graph.calls == []
        assert created.post.version == 1


async def test_a_hidden_post_costs_what_a_missing_one_costs() -> None:
    """One relation call each: time tells no more than the answer."""
    async with room() as here:
        hidden = (await here.post(visibility=Visibility.PRIVATE)).post.post_id
        for post_id in (hidden, PostId(5)):
            before = len(here.graph.calls)
            with refuses(NotFound, "POST_NOT_FOUND"):
                await here.audience.find(BOB, post_id)
            assert len(here.graph.calls) == before + 1


async def test_a_page_of_many_authors_asks_once() -> None:
    """Authors and authors of originals in one call, one's own not at all."""
    async with room() as here:
        original = (await here.post(ANN)).post.post_id
        share = (await here.post(BOB, text="", share_of=original)).post.post_id
        own = (await here.post(EVE)).post.post_id
        here.graph.calls.clear()
        records = await here.posts.find([original, share, own], viewer=EVE)
        seen = await here.audience.onlooker(EVE).posts(list(records.values()))

        assert len(seen) == 3
        assert here.graph.calls == [(EVE, [ANN, BOB])]


async def test_unknown_relations_hide_nothing_silently() -> None:
    """An error is never an empty page."""
    async with room() as here:
        post = (await here.post()).post.post_id
        here.graph.is_down = True

        with refuses(Unavailable, "RELATIONS_UNAVAILABLE"):
            await here.audience.find(BOB, post)
        assert (await here.audience.find(ANN, post)).post.post_id == post


@pytest.mark.parametrize(
    ("relation", "is_shown"),
    [
        (Relation(), True),
        (Relation(is_private=True), True),
        (Relation(is_muting=True), True),
        (Relation(is_blocking=True), False),
        (Relation(is_blocked_by=True), False),
        (Relation(state=UserState.SUSPENDED), False),
        (Relation(state=UserState.DELETED), False),
    ],
)
async def test_people_are_shown_unless_blocked_or_gone(
    relation: Relation, is_shown: bool
) -> None:
    """A private account hides its posts, not its name."""
    async with room() as here:
        here.graph.known[BOB, ANN] = relation
        shown = await here.audience.onlooker(BOB).people([ANN, BOB])

        assert shown == ({ANN, BOB} if is_shown else {BOB})


async def test_without_an_account_one_sees_as_a_stranger() -> None:
    """Nobody's relations are asked for as nobody's."""
    async with room() as here:
        post = (await here.post()).post.post_id
        here.graph.known[NOBODY, ANN] = Relation(is_private=True)

        with refuses(NotFound, "POST_NOT_FOUND"):
            await here.audience.find(NOBODY, post)


async def test_a_quote_of_a_share_is_one_of_the_original() -> None:
    """And refused where the original is not for everybody."""
    async with room() as here:
        original = (await here.post(ANN)).post.post_id
        share = (await here.post(BOB, text="", share_of=original)).post.post_id
        quote = await here.post(EVE, quote_of=share)

        assert quote.post.quote_of == original
        here.graph.known[EVE, ANN] = Relation(is_private=True, is_following=True)
        with refuses(FailedPrecondition, "POST_NOT_SHAREABLE"):
            await here.post(EVE, quote_of=share)


def test_ownership_is_one_of_the_owners() -> None:
    """Author of the comment or of the post, say."""
    require_owner(ANN, BOB, ANN)

    with refuses(PermissionDenied, "NOT_OWNER"):
        require_owner(EVE, BOB, ANN)

"""Who hears of a post, and by which way."""

import pytest

from chassis.errors import Unavailable
from chassis.testing import refuses

from domain.visibility import Visibility
from svc_push.delivery import may_hear
from svc_push.model import Kind, Position, PostId, PostRecord, Tie, UserId, added
from tests.support.push import away
from tests.support.push_process import Process, World, running

ANN, BOB, EVE = UserId(1), UserId(2), UserId(3)
POST = added(PostId(7), EVE)


def world() -> World:
    """Ann and Bob follow Eve, who follows Bob."""
    made = World()
    made.graph.follows = {(ANN, EVE), (BOB, EVE), (EVE, BOB)}
    return made


async def heard(process: Process, *viewers: UserId) -> list[UserId]:
    """Those of the viewers whose log holds the post."""
    found = []
    for viewer in viewers:
        opened = await process.world.logs.visit(viewer, checked_ms=None)
        if opened.head.sequence:
            found.append(viewer)
    return found


async def tell(visibility: Visibility) -> list[UserId]:
    """Who hears of a post of Eve's."""
    async with running(world(), "a") as (a,):
        for viewer in (ANN, BOB, EVE):
            await a.world.logs.visit(viewer, checked_ms=None)
        await a.announcer.tell(POST, visibility)
        return await heard(a, ANN, BOB, EVE)


@pytest.mark.parametrize(
    ("visibility", "audience"),
    [
        (Visibility.PUBLIC, [ANN, BOB, EVE]),
        (Visibility.FOLLOWERS, [ANN, BOB, EVE]),
        (Visibility.FRIENDS, [BOB, EVE]),
        (Visibility.PRIVATE, [EVE]),
        (Visibility.UNSPECIFIED, [ANN, BOB, EVE]),
    ],
)
async def test_a_post_is_told_to_those_it_is_for(
    visibility: Visibility, audience: list[UserId]
) -> None:
    """Its author always among them."""
    assert await tell(visibility) == audience


@pytest.mark.parametrize(
    ("visibility", "tie", "hears"),
    [
        (Visibility.PUBLIC, None, False),
        (Visibility.PUBLIC, Tie(is_following=True, is_followed_by=False), False),
        (Visibility.PUBLIC, Tie(is_following=False, is_followed_by=True), True),
        (Visibility.FRIENDS, Tie(is_following=False, is_followed_by=True), False),
        (Visibility.FRIENDS, Tie(is_following=True, is_followed_by=True), True),
        (Visibility.PRIVATE, Tie(is_following=True, is_followed_by=True), False),
    ],
)
def test_only_followers_hear(
    visibility: Visibility, tie: Tie | None, hears: bool
) -> None:
    """And where the tie is not known, nobody."""
    assert may_hear(visibility, tie) is hears


async def test_where_nobody_is_online_nobody_is_asked() -> None:
    """Most posts of an import have no live reader at all."""
    made = world()
    made.graph.failing = away()
    async with running(made, "a") as (a,):
        await a.announcer.tell(POST, Visibility.PUBLIC)

        assert made.graph.asked == 0


async def test_a_celebrity_s_post_is_not_fanned_out() -> None:
    """It is announced once, whoever listens."""
    made = world()
    made.graph.celebrities = {EVE}
    async with running(made, "a") as (a,):
        await made.logs.visit(ANN, checked_ms=None)
        await a.announcer.tell(POST, Visibility.PUBLIC)

        assert (made.graph.asked, made.network.sent) == (0, 1)


async def test_what_cannot_be_told_now_is_not_taken_for_told() -> None:
    """The event comes again, and then everybody hears of it once."""
    made = world()
    async with running(made, "a") as (a,), a.stream(ANN) as client:
        await client.next()
        made.graph.failing = away()
        with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
            await a.announcer.tell(POST, Visibility.PUBLIC)
        made.graph.failing = None
        await a.announcer.tell(POST, Visibility.PUBLIC)
        await a.announcer.tell(added(PostId(8), EVE), Visibility.PUBLIC)

        assert await client.posts(2) == [7, 8]


async def test_one_message_carries_all_readers_of_a_process() -> None:
    """The cost between processes is by process, not by reader."""
    made = world()
    async with (
        running(made, "a", "worker") as (a, worker),
        a.stream(ANN) as ann,
        a.stream(BOB) as bob,
    ):
        await ann.next()
        await bob.next()
        await worker.delivery.place([ANN, BOB], POST)

        assert made.network.sent == 1
        assert await ann.posts(1) == [7]
        assert await bob.posts(1) == [7]


@pytest.mark.parametrize(
    ("before", "after", "come", "left"),
    [
        (Visibility.PUBLIC, Visibility.PRIVATE, [], [ANN, BOB]),
        (Visibility.PUBLIC, Visibility.FRIENDS, [], [ANN]),
        (Visibility.FRIENDS, Visibility.PRIVATE, [], [BOB]),
        (Visibility.PUBLIC, Visibility.FOLLOWERS, [], []),
        (Visibility.FOLLOWERS, Visibility.PUBLIC, [], []),
        (Visibility.PRIVATE, Visibility.FRIENDS, [BOB], []),
        (Visibility.FRIENDS, Visibility.PUBLIC, [ANN], []),
        (Visibility.PRIVATE, Visibility.PUBLIC, [ANN, BOB], []),
        (Visibility.FRIENDS, Visibility.FRIENDS, [], []),
    ],
)
@pytest.mark.parametrize("is_celebrity", [False, True])
async def test_an_edit_is_told_to_those_whom_it_concerns(
    before: Visibility,
    after: Visibility,
    come: list[UserId],
    left: list[UserId],
    *,
    is_celebrity: bool,
) -> None:
    """Who could not see a post before does not hear that it is not theirs."""
    made = world()
    made.graph.celebrities = {EVE} if is_celebrity else set()
    post = PostRecord(PostId(7), EVE, after, version=2)
    found: dict[Kind, list[UserId]] = {Kind.POST_ADDED: [], Kind.POST_REMOVED: []}
    async with running(made, "a") as (a,):
        for viewer in (ANN, BOB, EVE):
            await made.logs.visit(viewer, checked_ms=None)
        for _ in range(2):
            await a.announcer.revise(post, before, made.clock.now())
        for viewer in (ANN, BOB, EVE):
            head = (await made.logs.visit(viewer, checked_ms=None)).head
            start = Position(head.epoch, 0)
            for entry in await made.logs.read(viewer, after=start, limit=9) or ():
                found[entry.change.kind].append(viewer)

    assert found == {Kind.POST_ADDED: come, Kind.POST_REMOVED: left}

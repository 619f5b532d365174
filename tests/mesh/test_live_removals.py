"""What leaves a feed leaves an open stream within seconds; a resume tells the same."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from chassis.testing import eventually

from tests.mesh.test_first_session import listening
from tests.support.mesh import Mesh
from tests.support.people import Person, sign_up

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

# What an event says: its name, and the id of the post or author.
Said = tuple[str, str]

# Within seconds; the machine may be busy.
SOON = 20


async def unfollow(mesh: Mesh, reader: Person, author: Person) -> None:
    await reader.call("DELETE", f"/users/me/following/{author.user_id}")


async def block(mesh: Mesh, reader: Person, author: Person) -> None:
    await reader.call("PUT", f"/users/me/blocks/{author.user_id}")


async def are_blocked(mesh: Mesh, reader: Person, author: Person) -> None:
    await author.call("PUT", f"/users/me/blocks/{reader.user_id}")


async def mute(mesh: Mesh, reader: Person, author: Person) -> None:
    await reader.call("PUT", f"/users/me/mutes/{author.user_id}", json={})


async def suspend(mesh: Mesh, reader: Person, author: Person) -> None:
    await operate(mesh, reader, f"/v1/users/{author.user_id}:suspend")


async def delete_account(mesh: Mesh, reader: Person, author: Person) -> None:
    await author.call("DELETE", "/users/me")


async def operate(mesh: Mesh, reader: Person, path: str) -> None:
    """A call of an operator's."""
    token = await mesh.token("operator", "--service")
    answer = await reader.client.post(
        path, headers={"authorization": f"Bearer {token}"}, json={}
    )
    assert answer.is_success, answer.text


Change = Callable[[Mesh, Person, Person], Awaitable[None]]


@pytest.mark.parametrize(
    "change", [unfollow, block, are_blocked, mute, suspend, delete_account]
)
async def test_an_author_who_leaves_a_feed_leaves_its_stream(
    mesh: Mesh, change: Change
) -> None:
    """Told once; resuming, and polling, tell the same in order as things are now."""
    async with mesh.client() as client:
        ann, ben, cam = [await sign_up(client, name) for name in ("ann", "ben", "cam")]
        await ann.follow(ben)
        await ann.follow(cam)
        await is_known(mesh, ann, followees=2)
        async with listening(client, ann.headers) as events:
            start = (await anext(events))[1]
            post = await ben.post("soon gone")
            live = [await said(events)]
            await change(mesh, ann, ben)
            live.append(await said(events))
            last = await cam.post("still there")
            live.append(await said(events))
        resumed = {**ann.headers, "last-event-id": start}
        async with listening(client, resumed) as events:
            again = [await said(events) for _ in range(3)]
        polled = await ann.call("GET", "/sync", params={"since": start})
        feed = await ann.feed_ids(order="ORDER_LATEST")

    assert live == [
        ("post_added", post),
        ("author_removed", ben.user_id),
        ("post_added", last),
    ]
    judged = [("post_removed", post), *live[1:]]
    assert again == judged
    assert [told(event) for event in polled.json()["events"]] == judged
    assert post not in feed


async def test_a_narrowed_post_leaves_a_stream_and_comes_back(mesh: Mesh) -> None:
    """For who may not see it any more; a deletion ends it for all."""
    async with mesh.client() as client:
        ann, ben = await sign_up(client, "ann"), await sign_up(client, "ben")
        await ann.follow(ben)
        async with listening(client, ann.headers) as events:
            start = (await anext(events))[1]
            post = await ben.post("for all")
            live = [await said(events)]
            for visibility in ("FRIENDS", "PUBLIC", "PRIVATE", "FOLLOWERS"):
                await ben.call(
                    "PATCH",
                    f"/posts/{post}",
                    json={"visibility": f"VISIBILITY_{visibility}"},
                )
                live.append(await said(events))
            await ben.call("DELETE", f"/posts/{post}")
            live.append(await said(events))
        resumed = {**ann.headers, "last-event-id": start}
        async with listening(client, resumed) as events:
            again = [await said(events) for _ in live]

    assert [kind for kind, _ in live] == ["post_added", "post_removed"] * 3
    assert {of for _, of in live} == {post}
    assert again == live


async def test_a_mute_that_ends_tells_to_read_anew(mesh: Mesh) -> None:
    """What was hidden is back in the feed, and nothing told of it."""
    async with mesh.client() as client:
        ann, ben = await sign_up(client, "ann"), await sign_up(client, "ben")
        await ann.follow(ben)
        post = await ben.post("hidden for a while")
        await ann.sees(post)
        async with listening(client, ann.headers) as events:
            await anext(events)
            await mute(mesh, ann, ben)
            first = await said(events)
            await ann.call("DELETE", f"/users/me/mutes/{ben.user_id}")
            second = await said(events)
        await ann.sees(post)

    assert [first, second] == [("author_removed", ben.user_id), ("reset", "")]


async def test_a_suspended_reader_hears_the_end(mesh: Mesh) -> None:
    """Their own stream is over, with the reason in its last record."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
        headers = {**ann.headers, "accept": "text/event-stream"}
        async with (
            asyncio.timeout(SOON),
            client.stream("GET", "/v1/stream", headers=headers) as stream,
        ):
            lines = stream.aiter_lines()
            async for line in lines:
                if line == "event: heartbeat":
                    break
            await suspend(mesh, ann, ann)
            rest = [line async for line in lines]

    assert "ACCOUNT_SUSPENDED" in "".join(rest)


async def is_known(mesh: Mesh, reader: Person, *, followees: int) -> None:
    """Waits until the graph has placed the reader's follows."""

    async def is_placed() -> None:
        found = await mesh.fetch(
            "svc_graph",
            "SELECT count(*) FROM follow WHERE follower_id = $1",
            int(reader.user_id),
        )
        assert found == [followees]

    await eventually(is_placed)


async def said(events: listening) -> Said:
    """What the next event says that is more than a heartbeat."""
    async with asyncio.timeout(SOON):
        while True:
            name, _, data = await anext(events)
            if name != "heartbeat":
                return told(data["event"])


def told(event: dict[str, dict[str, str]]) -> Said:
    """The same of an event as JSON."""
    names = {
        "postAdded": "post_added",
        "postRemoved": "post_removed",
        "authorRemoved": "author_removed",
        "reset": "reset",
    }
    (kind,) = [name for name in names if name in event]
    return names[kind], event[kind].get("postId") or event[kind].get("authorId", "")

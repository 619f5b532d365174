"""The main job, through the front door: sign up, follow, post, read, listen."""

import asyncio
import json

import httpx
import pytest

from feedmesh.feed.v1 import feed_pb2, feed_pb2_grpc
from feedmesh.ingest.v1 import post_pb2, post_pb2_grpc

from tests.support.mesh import Mesh, reason
from tests.support.people import sign_up

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

Data = dict[str, dict[str, dict[str, str]]]


async def test_a_post_reaches_the_ranked_feed_of_a_follower(mesh: Mesh) -> None:
    """Every follower finds the post in their home feed, ranked."""
    async with mesh.client() as client:
        ann, ben = await sign_up(client, "ann"), await sign_up(client, "ben")
        await ann.follow(ben)
        post = await ben.post("hello, mesh")

        await ann.sees(post)
        page = await ann.feed()

        assert page["servedAs"] == "SERVED_AS_RANKED"
        (item,) = page["items"]
        assert item["post"]["text"] == "hello, mesh"
        assert item["author"]["handle"] == ben.handle
        assert item["reason"] == "REASON_FOLLOWED"


async def test_authors_see_their_own_post_at_once(mesh: Mesh) -> None:
    """The next read after the answer holds it, without waiting for fan-out."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
        posts = [await ann.post(f"number {n}") for n in range(3)]

        assert await ann.feed_ids(order="ORDER_LATEST") == posts[::-1]


async def test_a_stranger_finds_nothing(mesh: Mesh) -> None:
    """A feed holds only whom one follows."""
    async with mesh.client() as client:
        ann, ben = await sign_up(client, "ann"), await sign_up(client, "ben")
        await ben.post("not for ann's feed")

        page = await ann.feed()

        assert page.get("items", []) == []
        assert page["endReason"] == "END_REASON_COMPLETE"


async def test_a_live_client_hears_of_a_post_and_resumes(mesh: Mesh) -> None:
    """SSE tells of a post; Last-Event-ID brings what was missed, once."""
    async with mesh.client() as client:
        ann, ben = await sign_up(client, "ann"), await sign_up(client, "ben")
        await ann.follow(ben)

        async with listening(client, ann.headers) as events:
            await anext(events)  # where the log stands
            first = await ben.post("one")
            position, event = await events.next("post_added")
            assert event["event"]["postAdded"]["postId"] == first

        second = await ben.post("two")
        resumed = {**ann.headers, "last-event-id": position}
        async with listening(client, resumed) as events:
            async with asyncio.timeout(10):
                _, event = await events.next("post_added")

        assert event["event"]["postAdded"]["postId"] == second


async def test_polling_brings_the_same_events(mesh: Mesh) -> None:
    """Sync answers from the position that the last answer gave."""
    async with mesh.client() as client:
        ann, ben = await sign_up(client, "ann"), await sign_up(client, "ben")
        await ann.follow(ben)
        start = (await ann.call("GET", "/sync")).json()["position"]
        post = await ben.post("polled")
        await ann.sees(post)

        answer = (await ann.call("GET", "/sync", params={"since": start})).json()

        assert [e["postAdded"]["postId"] for e in answer["events"]] == [post]


async def test_a_retry_with_the_same_key_stores_one_post(mesh: Mesh) -> None:
    """The same key answers the same post; another body under it is refused."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
        key = {"idempotency-key": "once"}
        first = await ann.call("POST", "/posts", json={"text": "a"}, headers=key)
        again = await ann.call("POST", "/posts", json={"text": "a"}, headers=key)
        other = await ann.call(
            "POST", "/posts", json={"text": "b"}, headers=key, status=409
        )

        assert first.status_code == 201
        assert again.json()["post"] == first.json()["post"]
        assert again.headers["idempotency-replayed"] == "true"
        assert reason(other) == "REQUEST_ID_CONFLICT"
        assert len(await ann.feed_ids()) == 1


async def test_typed_stubs_do_the_same(mesh: Mesh) -> None:
    """A service calls the rooms directly, with the token of a person."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
    metadata = [("authorization", f"Bearer {ann.token}")]

    async with mesh.channel("svc_ingest") as channel:
        stored = await post_pb2_grpc.PostServiceStub(channel).CreatePost(
            post_pb2.CreatePostRequest(text="typed"), metadata=metadata
        )
    async with mesh.channel("svc_feed") as channel:
        page = await feed_pb2_grpc.FeedServiceStub(channel).GetHomeFeed(
            feed_pb2.GetHomeFeedRequest(), metadata=metadata
        )

    assert [item.post for item in page.items] == [stored.post]


class listening:  # noqa: N801 # reads as a verb where it is used
    """Server-sent events as (name, id, data), comments left out."""

    def __init__(self, client: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self._stream = client.stream(
            "GET",
            "/v1/stream",
            headers={**headers, "accept": "text/event-stream"},
            timeout=httpx.Timeout(30, read=30),
        )

    async def __aenter__(self) -> "listening":
        answer = await self._stream.__aenter__()
        assert answer.status_code == 200
        self._lines = answer.aiter_lines()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._stream.__aexit__(*failure)  # type: ignore[arg-type] # passed on

    async def next(self, wanted: str) -> tuple[str, Data]:
        """Position and data of the next event of a name."""
        while True:
            name, position, data = await anext(self)
            if name == wanted:
                return position, data

    async def __anext__(self) -> tuple[str, str, Data]:
        fields: dict[str, str] = {}
        async for line in self._lines:
            if line == "" and "data" in fields:
                return fields["event"], fields["id"], json.loads(fields["data"])
            name, colon, value = line.partition(":")
            if colon and name:
                fields[name] = value.strip()
        raise AssertionError("the stream ended")

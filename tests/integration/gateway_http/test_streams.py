"""Server streams over HTTP: forms, resuming, cuts, heartbeats, ends."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import httpx_sse
import pytest

from feedmesh.push.v1 import push_pb2

from chassis.errors import Unavailable
from chassis.testing import eventually

from tests.support.gateway import Front, front, reason
from tests.support.gateway_rooms import Push, live_event, rooms, small_push

STREAM = "/v1/stream"


@asynccontextmanager
async def listening(
    edge: Front, **headers: str
) -> AsyncIterator[AsyncIterator[httpx_sse.ServerSentEvent]]:
    """The events of a stream."""
    async with httpx_sse.aconnect_sse(
        edge.http, "GET", STREAM, headers={**edge.signed_in(), **headers}
    ) as source:
        assert source.response.status_code == 200
        assert source.response.headers["x-accel-buffering"] == "no"
        yield source.aiter_sse()


async def test_an_event_has_a_name_an_id_and_the_message() -> None:
    """Position as id, the set field of the oneof as name, the response as data."""
    async with front(rooms(push=small_push(last=2))) as edge, listening(edge) as events:
        first = await anext(events)

        assert (first.event, first.id) == ("post_added", "e1:1")
        assert first.retry is None or 1_000 <= first.retry <= 5_000
        assert json.loads(first.data) == {
            "event": {"position": "e1:1", "postAdded": {"postId": "1"}}
        }
        assert (await anext(events)).id == "e1:2"


async def test_last_event_id_goes_on_where_the_client_was() -> None:
    """As does the parameter of the contract, when both agree."""
    push = small_push(last=3)
    async with front(rooms(push=push)) as edge:
        async with listening(edge, **{"last-event-id": "e1:2"}) as events:
            assert (await anext(events)).id == "e1:3"
        headers = {**edge.signed_in(), "last-event-id": "e1:2"}
        other = await edge.http.get(f"{STREAM}?position=e1:1", headers=headers)

        assert push.positions == ["e1:2"]
        assert (other.status_code, reason(other)) == (400, "POSITION_INVALID")


@pytest.mark.parametrize(
    "position",
    ["nonsense", "e1", ":1", "e1:", "E1:1", "a" * 200, "e1:1;e2:2", "e1:1 x"],
)
async def test_a_hostile_position_is_refused(position: str) -> None:
    """Strictly parsed, with a status of its own: the stream has not begun (T21)."""
    push = small_push(last=1)
    async with front(rooms(push=push)) as edge:
        headers = {**edge.signed_in(), "last-event-id": position}
        answer = await edge.http.get(STREAM, headers=headers)

        assert answer.status_code == 400
        assert push.positions == []


async def test_a_cut_is_not_seen_by_the_client() -> None:
    """UNAVAILABLE from a draining service: resubscribed, no gap and no repeat."""
    push = small_push(last=7, cut=2)
    async with front(rooms(push=push)) as edge, listening(edge) as events:
        seen = [(await anext(events)).id for _ in range(7)]

        assert seen == [f"e1:{number}" for number in range(1, 8)]
        assert push.positions == ["", "e1:2", "e1:4", "e1:6"]


async def test_a_service_away_for_good_is_told() -> None:
    """After an outage the stream ends with an error record."""
    push = AlwaysCut()  # type: ignore[abstract]  # the rest is not asked for
    async with (
        front(rooms(push=push), stream_outage=0.3) as edge,
        listening(edge) as events,
    ):
        await anext(events)
        last = await anext(events)

        assert last.event == "error"
        assert json.loads(last.data)["code"] == 14


class AlwaysCut(Push):
    """One event, then never again."""

    def __init__(self) -> None:
        super().__init__(last=1, cut=1)

    async def Subscribe(
        self, request: push_pb2.SubscribeRequest, context: object
    ) -> AsyncIterator[push_pb2.SubscribeResponse]:
        if not request.position:
            yield live_event(1)
        raise Unavailable("OVERLOADED")


async def test_the_end_is_a_record() -> None:
    """In every form a client can tell an end from a cut."""
    async with front(rooms(push=small_push(last=2, ends=True))) as edge:

        async def get(accept: str) -> httpx.Response:
            headers = {**edge.signed_in(), "accept": accept}
            return await edge.http.get(STREAM, headers=headers)

        sse = await get("text/event-stream")
        assert sse.headers["content-type"] == "text/event-stream"
        assert sse.text.endswith("event: end\ndata: {}\n\n")

        lines = (await get("application/x-ndjson")).text.splitlines()
        results = [json.loads(line) for line in lines if line]
        assert [r["result"]["event"]["position"] for r in results[:2]] == [
            "e1:1",
            "e1:2",
        ]
        assert results[2:] == [{"end": {}}]

        array = await get("application/json")
        assert array.headers["content-type"] == "application/json"
        assert array.json() == results


async def test_what_cannot_be_sent_is_406() -> None:
    """Before anything is asked of the service."""
    push = small_push(last=0)
    async with front(rooms(push=push)) as edge:
        headers = {**edge.signed_in(), "accept": "text/html"}
        answer = await edge.http.get(STREAM, headers=headers)

        assert (answer.status_code, reason(answer)) == (406, "NOT_ACCEPTABLE")
        assert push.positions == []


async def test_a_silent_stream_has_a_heartbeat() -> None:
    """A comment, which no client takes for an event."""
    async with (
        front(rooms(push=small_push(last=0)), stream_heartbeat=0.05) as edge,
        edge.http.stream("GET", STREAM, headers=edge.signed_in()) as answer,
    ):
        lines = answer.aiter_lines()
        seen = [await anext(lines) for _ in range(3)]

        assert seen == [": stream", ": heartbeat", ": heartbeat"]


async def test_a_client_that_leaves_ends_the_call() -> None:
    """The service is told within a moment, not at the next event."""
    push = small_push(last=1)
    async with front(rooms(push=push)) as edge:
        async with listening(edge) as events:
            await anext(events)
        await eventually(push.left.is_set, timeout=2)


async def test_a_slow_client_is_waited_for() -> None:
    """What it does not take is not read from the service: no memory grows."""
    push = heavy_push()
    async with front(rooms(push=push)) as edge, deaf_listener(edge):
        await eventually(standing_still(push), timeout=30)

        assert push.sent < 2_000


async def test_a_client_that_takes_nothing_is_given_up() -> None:
    """After stream_write_timeout the call is cancelled."""
    push = heavy_push()
    async with (
        front(rooms(push=push), stream_write_timeout=0.3) as edge,
        deaf_listener(edge),
    ):
        await eventually(push.left.is_set, timeout=20)


def heavy_push() -> Push:
    """40 MB of events, far more than all buffers on the way."""
    return small_push(last=4_000, width=10_000)


@asynccontextmanager
async def deaf_listener(edge: Front) -> AsyncIterator[None]:
    """A client that asks for the stream and then reads nothing of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, limit=1)
    token = edge.signed_in()["authorization"]
    head = f"GET {STREAM} HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\n\r\n"
    writer.write(head.encode())
    await reader.readexactly(10)
    try:
        yield
    finally:
        writer.transport.abort()


def standing_still(push: Push) -> Callable[[], bool]:
    """Whether nothing was sent between this look and the last."""
    before = [-1]

    def still() -> bool:
        before.append(push.sent)
        return before[-1] == before[-2] > 0

    return still


async def test_a_revoked_caller_stops_listening() -> None:
    """The token is looked at again while the stream lives (T18)."""
    async with (
        front(rooms(push=small_push(last=1)), stream_heartbeat=0.05) as edge,
        listening(edge) as events,
    ):
        await anext(events)
        await edge.valkey.set("rev:s1", b"1")
        last = await anext(events)

        assert last.event == "error"
        assert json.loads(last.data)["details"][0]["reason"] == "TOKEN_INVALID"


async def test_a_stream_does_not_outlive_its_token() -> None:
    """Nor stream_max_age: it ends, and the client comes again."""
    push = small_push(last=1)
    async with (
        front(rooms(push=push), stream_max_age=0.2) as edge,
        listening(edge) as events,
    ):
        assert [event.event async for event in events] == ["post_added", "end"]


async def test_a_drain_ends_streams_with_a_record() -> None:
    """The client knows that it is to come again."""
    events: list[str] = []
    ready = asyncio.Event()
    async with (
        asyncio.TaskGroup() as group,
        front(rooms(push=small_push(last=1))) as edge,
    ):
        url = f"http://127.0.0.1:{edge.port}"
        group.create_task(_collect(url, edge.signed_in(), events, ready))
        await ready.wait()

    assert events == ["post_added", "end"]


async def _collect(
    url: str, headers: dict[str, str], events: list[str], ready: asyncio.Event
) -> None:
    async with (
        httpx.AsyncClient(base_url=url) as client,
        httpx_sse.aconnect_sse(client, "GET", STREAM, headers=headers) as source,
    ):
        async for event in source.aiter_sse():
            events.append(event.event)
            ready.set()


async def test_text_of_a_post_cannot_forge_an_event() -> None:
    """Data is JSON on one line, whatever it says (T21)."""
    async with front(rooms(push=small_push(last=1, ends=True))) as edge:
        answer = await edge.http.get(STREAM, headers=edge.signed_in())

        data = [line for line in answer.text.splitlines() if line.startswith("data: ")]
        assert [type(json.loads(line.removeprefix("data: "))) for line in data] == [
            dict,
            dict,
        ]

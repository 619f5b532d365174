"""How people read: sessions of pages, single posts, lists, and the live stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import count

import httpx

from tests.faults.facts import event_facts
from tests.faults.history import Operation
from tests.faults.people import Person

LATEST, RANKED = "ORDER_LATEST", "ORDER_RANKED"
# A retry of a page that was refused: the session goes on with the same token.
PAGE_TRIES = 3

_sessions = count(1)


async def read_feed(
    person: Person, order: str, *, pages: int, size: int, phase: str = ""
) -> list[Operation]:
    """One paging session; its pages. Ends early when a page cannot be had."""
    session, token, read = next(_sessions), "", list[Operation]()
    for number in range(pages):
        args = {"session": session, "page": number, "order": order, "size": size}
        if phase:
            args["phase"] = phase
        params = {"order": order, "pageSize": size}
        for _ in range(PAGE_TRIES):
            done, document = await person.once(
                "feed",
                args,
                "GET",
                "/feed",
                params=params | ({"pageToken": token} if token else {}),
            )
            if done.is_ok:
                break
            await asyncio.sleep(0.3)
        else:
            return read
        read.append(done)
        token = document.get("nextPageToken", "")
        if not token:
            return read
    return read


async def read_user_posts(
    person: Person, author: int, *, pages: int, size: int = 100, phase: str = ""
) -> list[Operation]:
    """An author's posts, newest first."""
    session, token, read = next(_sessions), "", list[Operation]()
    for number in range(pages):
        done, document = await person.once(
            "user_posts",
            {"author": author, "session": session, "page": number, "phase": phase},
            "GET",
            f"/users/{author}/posts",
            params={"pageSize": size} | ({"pageToken": token} if token else {}),
        )
        read.append(done)
        token = document.get("nextPageToken", "")
        if not token:
            return read
    return read


async def read_post(person: Person, post: int, *, phase: str = "") -> Operation:
    done, _ = await person.once(
        "get_post", {"post": post, "phase": phase}, "GET", f"/posts/{post}"
    )
    return done


async def read_sync(person: Person, since: str, *, phase: str = "") -> list[Operation]:
    """All events of the log after a position."""
    read, position = list[Operation](), since
    for _ in range(20):
        done, _document = await person.once(
            "sync",
            {"since": position, "phase": phase},
            "GET",
            "/sync",
            params={"since": position, "pageSize": 1000},
        )
        read.append(done)
        if not done.is_ok or not done.answer["more"]:
            return read
        position = done.answer["position"]
    return read


async def listen(person: Person) -> None:
    """Follows the live stream for ever; comes back where it was cut off."""
    position = ""
    for number in count():
        headers = {"authorization": f"Bearer {person.token}"}
        if position:
            headers["last-event-id"] = position
        # Heartbeats come every few seconds: silence is a dead connection.
        patience = httpx.Timeout(10, read=20)
        with suppress(httpx.HTTPError, httpx.StreamError):
            async with person.client.stream(
                "GET", "/v1/stream", headers=headers, timeout=patience
            ) as stream:
                if stream.status_code == 200:
                    async for line in stream.aiter_lines():
                        position = _heard(person, number, line) or position
        await asyncio.sleep(person.dice.uniform(0.2, 0.6))


def _heard(person: Person, connection: int, line: str) -> str:
    """Writes a line of the stream down; its position."""
    if not line.startswith("data: "):
        return ""
    event = json.loads(line.removeprefix("data: ")).get("event")
    if event is None:
        return ""
    facts = event_facts(event)
    person.history.add(
        person.name,
        "event",
        {"me": person.user_id, "connection": connection},
        begin=person.history.now(),
        answer=facts,
    )
    return str(facts["position"])


def ids(pages: Sequence[Operation]) -> list[int]:
    """The posts of a session, in reading order."""
    return [item["id"] for page in pages for item in page.answer["items"]]

"""People who sign up, log in and act over HTTP, as an app would have them do."""

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from chassis.testing import eventually

# Answers as they come: the tests say what should be in them.
Json = dict[str, Any]

PASSWORD = "correct horse battery"
_numbers = itertools.count()


@dataclass(frozen=True)
class Person:
    """A signed-in person."""

    client: httpx.AsyncClient
    handle: str
    user_id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    async def call(
        self,
        method: str,
        path: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        params: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        """A call under /v1; fails unless the status is the one (or any 2xx)."""
        answer = await self.client.request(
            method,
            f"/v1{path}",
            headers=self.headers | dict(headers or {}),
            json=json,
            params=params,
        )
        ok = answer.is_success if status is None else answer.status_code == status
        assert ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    async def follow(self, other: "Person") -> None:
        await self.call("PUT", f"/users/me/following/{other.user_id}")

    async def post(self, text: str, **fields: object) -> str:
        answer = await self.call("POST", "/posts", json={"text": text, **fields})
        return str(answer.json()["post"]["postId"])

    async def feed(self, **query: object) -> Json:
        answer = await self.call("GET", "/feed", params=query)
        return dict(answer.json())

    async def feed_ids(self, **query: object) -> list[str]:
        items = (await self.feed(**query)).get("items", [])
        return [item["post"]["postId"] for item in items]

    async def sees(self, post_id: str) -> None:
        """Waits until a post is on the first page."""

        async def there() -> None:
            assert post_id in await self.feed_ids(order="ORDER_LATEST", pageSize=100)

        await eventually(there)


async def sign_up(client: httpx.AsyncClient, name: str, **profile: object) -> Person:
    """A new person; the handle is made unique."""
    handle = f"{name}_{os.getpid()}_{next(_numbers)}"
    answer = await client.post(
        "/v1/users", json={"handle": handle, "password": PASSWORD, **profile}
    )
    assert answer.status_code == 201, answer.text
    return await log_in(client, handle, PASSWORD)


async def log_in(client: httpx.AsyncClient, handle: str, password: str) -> Person:
    answer = await client.post(
        "/v1/sessions", json={"handle": handle, "password": password}
    )
    assert answer.status_code == 201, answer.text
    session = answer.json()["session"]
    return Person(client, handle, session["userId"], session["accessToken"])

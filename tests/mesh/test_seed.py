"""What a new mesh holds, so that there is something to look at."""

import httpx

from chassis.testing import eventually

from meshctl import seed
from tests.support.mesh import Mesh


async def test_one_can_log_in_and_finds_a_feed(mesh: Mesh) -> None:
    """As the terminal says: the handle and the password that it prints are good."""
    handle = seed.HANDLES[0]
    followed = {whom for who, whom in seed.world().follows if who == handle}
    written = [author for author, _ in seed.world().posts if author in followed]
    assert f'"handle":"{handle}","password":"{seed.PASSWORD}"' in mesh.output

    async with mesh.client() as client:
        session = await client.post(
            "/v1/sessions", json={"handle": handle, "password": seed.PASSWORD}
        )
        token = session.json()["session"]["accessToken"]

        async def whole_feed() -> None:
            authors = await authors_in_feed(client, token)
            assert sorted(a for a in authors if a != handle) == sorted(written)

        await eventually(whole_feed)


async def authors_in_feed(client: httpx.AsyncClient, token: str) -> list[str]:
    answer = await client.get(
        "/v1/feed",
        params={"pageSize": 100, "order": "ORDER_LATEST"},
        headers={"authorization": f"Bearer {token}"},
    )
    return [item["author"]["handle"] for item in answer.json()["items"]]

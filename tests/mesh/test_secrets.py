"""No secret is in a log, a command line or what meshctl prints (T27)."""

import asyncio
import base64
from pathlib import Path

import httpx
import pytest

from chassis.testing import eventually

from tests.support.mesh import Mesh, command_line, descendants
from tests.support.people import sign_up

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

CANARY = "canary-Zx93kQ"


async def told_secrets(client: httpx.AsyncClient, handle: str) -> set[str]:
    """Says secrets in every place where one is taken, rightly and wrongly."""
    password, wrong = f"{CANARY}-right", f"{CANARY}-wrong"
    login = {"handle": handle, "password": password}
    await client.post("/v1/users", json=login)
    await client.post("/v1/users", json={**login, "nosuch": password})
    await client.post("/v1/users", json={"handle": "X!", "password": password})
    await client.post("/v1/users", json={"handle": handle, "password": CANARY[:5]})
    await client.post("/v1/sessions", json={**login, "password": wrong})
    await client.post("/v1/sessions", content=f'{{"password":"{wrong}"')
    await client.get("/v1/sessions", params={"password": wrong})
    session = (await client.post("/v1/sessions", json=login)).json()["session"]
    access, refresh = session["accessToken"], session["refreshToken"]
    bearer = {"authorization": f"Bearer {access}"}
    await client.get("/v1/feed", headers=bearer)
    await client.get("/v1/feed", params={"access_token": access})
    await client.get(f"/v1/{access}", headers=bearer)
    await client.get("/v1/feed", headers={"authorization": f"Bearer {access}x"})
    await client.get("/v1/feed", headers={"authorization": access})
    token = {"refreshToken": refresh}
    new = (await client.post("/v1/sessions:refresh", json=token)).json()["session"]
    await client.post("/v1/sessions:refresh", json=token)
    await client.get("/v1/sessions:refresh", params=token)
    return {password, wrong, access, refresh, new["accessToken"], new["refreshToken"]}


def kept_secrets(data: Path) -> set[str]:
    """What lies in the files of the mesh: keys, passwords of engines."""
    files = [*(data / "secrets").iterdir(), *data.glob("engines/*/*password")]
    found = set()
    for file in files:
        for line in file.read_text().splitlines():
            secret = line.rpartition(":")[2].strip()
            if file.name != "jwks.json" and "-----" not in secret:
                found.add(secret)
    return found


def written(data: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in logs(data))


def logs(data: Path) -> list[Path]:
    return [
        path
        for path in data.rglob("*.log")
        if path.is_file() and "pg_wal" not in path.parts
    ]


async def test_no_secret_is_written_down(mesh: Mesh) -> None:
    """Neither those that people say nor those that the mesh keeps."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
        secrets = await told_secrets(client, f"told_{ann.user_id}"[:30])
        secrets |= {ann.token, await mesh.token("robot", "--service")}
        secrets |= await asyncio.to_thread(kept_secrets, mesh.data)
        last = {"x-request-id": f"last-{ann.user_id}"}
        await client.get("/v1/nowhere", headers=last)

    async def told() -> str:
        text = await asyncio.to_thread(written, mesh.data)
        assert last["x-request-id"] in text
        return text

    text = await eventually(told)
    lines = "\n".join(command_line(pid) for pid in descendants(mesh.process.pid))

    assert len(secrets) > 10
    assert all(len(secret) > 8 for secret in secrets)
    for secret in secrets:
        encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
        for place in (text, lines, mesh.output):
            assert secret not in place
            assert encoded not in place
    assert CANARY not in text
    # The signature is what makes a token: not even that part is left.
    assert all(s.rpartition(".")[2] not in text for s in secrets if s.count(".") == 2)


async def test_people_can_be_followed_by_ids_alone(mesh: Mesh) -> None:
    """What they write and how they call themselves stays out of the logs (T29)."""
    name, text = "Canary Display-Name", "canary text of a post"
    async with mesh.client() as client:
        ann = await sign_up(client, "ann", displayName=name)
        post = await ann.post(text)
        comment = {"text": "canary comment\n{}"}
        await ann.call("POST", f"/posts/{post}/comments", json=comment)
        await ann.call("POST", "/posts", json={"text": text * 100}, status=400)
        await ann.call("PATCH", "/users/me", json={"bio": "canary bio"})
        log = await asyncio.to_thread(written, mesh.data)

    assert name not in log
    assert text not in log
    assert "canary comment" not in log
    assert "canary bio" not in log

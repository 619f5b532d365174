"""Tokens of other makes, at the edge and at every room: none is taken (T6)."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
import pytest_asyncio
from joserfc import jws
from joserfc.jwk import OctKey, OKPKey

from chassis import secrets
from chassis.clock import SystemClock

from tests.support.mesh import Mesh
from tests.support.people import PASSWORD, Person, sign_up
from tests.support.refusals import refusal, rpc_refusal, without_request_id

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSED = (401, "TOKEN_INVALID")
UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
# One method of each room that a person may call.
METHODS = {
    "svc_graph": "/feedmesh.graph.v1.GraphService/ListBlocks",
    "svc_ingest": "/feedmesh.ingest.v1.PostService/ListUserPosts",
    "svc_feed": "/feedmesh.feed.v1.FeedService/GetHomeFeed",
    "svc_push": "/feedmesh.push.v1.PushService/Sync",
}


@dataclass(frozen=True)
class Forge:
    """The keys of the mesh, and a person to be."""

    folder: Path
    ann: Person
    refresh: str

    @property
    def key(self) -> OKPKey:
        return OKPKey.import_key((self.folder / secrets.SIGNING_KEY).read_bytes())

    @property
    def kid(self) -> str:
        jwks = json.loads((self.folder / secrets.JWKS).read_text())
        return str(jwks["keys"][0]["kid"])

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Those of a good token, but for what is changed; ... leaves one out."""
        now = int(SystemClock().now().timestamp())
        good = {
            "iss": "feedmesh",
            "aud": "feedmesh",
            "sub": self.ann.user_id,
            "role": "user",
            "sid": "s1",
            "jti": "t1",
            "iat": now,
            "nbf": now,
            "exp": now + 60,
        }
        return {k: v for k, v in (good | changed).items() if v is not ...}

    def signed(self, *, header: dict[str, Any] | None = None, **changed: Any) -> str:
        """A token with a true signature over any header and claims."""
        fields = {"alg": "Ed25519", "kid": self.kid, "typ": "JWT"} | (header or {})
        return self.over(json.dumps(fields), json.dumps(self.claims(**changed)))

    def over(self, header: str, claims: str) -> str:
        encoded = f"{b64(header.encode())}.{b64(claims.encode())}"
        private: Any = self.key.private_key
        return f"{encoded}.{b64(private.sign(encoded.encode()))}"

    def with_public_key(self) -> str:
        """HS256, with the key that everybody knows as the secret."""
        public = OctKey.import_key(b64(self.key.as_pem(private=False)))
        header = {"alg": "HS256", "kid": self.kid}
        claims = json.dumps(self.claims())
        return jws.serialize_compact(header, claims, public, algorithms=["HS256"])

    def of_a_stranger(self) -> str:
        """Another key under our key's name."""
        header = {"alg": "Ed25519", "kid": self.kid}
        stranger = OKPKey.generate_key("Ed25519")
        claims = json.dumps(self.claims())
        return jws.serialize_compact(header, claims, stranger, algorithms=["Ed25519"])

    def unsigned(self) -> str:
        header = b64(b'{"alg":"none","typ":"JWT"}')
        return f"{header}.{b64(json.dumps(self.claims()).encode())}."

    def claimed_twice(self) -> str:
        """Two readers may see two people in it."""
        header = json.dumps({"alg": "Ed25519", "kid": self.kid})
        claims = json.dumps(self.claims())
        return self.over(header, '{"sub":"1",' + claims[1:])

    def flipped(self, part: int) -> str:
        """One bit of a part changed."""
        parts = self.ann.token.split(".")
        raw = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
        raw[len(raw) // 2] ^= 1
        parts[part] = b64(bytes(raw))
        return ".".join(parts)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


FORGERIES: dict[str, Callable[[Forge], str]] = {
    "no signature": Forge.unsigned,
    "alg none, signed": lambda f: f.signed(header={"alg": "none"}),
    "HS256 with the public key": Forge.with_public_key,
    "another key": Forge.of_a_stranger,
    "crit": lambda f: f.signed(header={"crit": ["exp"]}),
    "b64 false": lambda f: f.signed(header={"crit": ["b64"], "b64": False}),
    "key by URL": lambda f: f.signed(header={"jku": "http://127.0.0.1/jwks"}),
    "key in the header": lambda f: f.signed(
        header={"jwk": OKPKey.generate_key("Ed25519").as_dict(private=False)}
    ),
    "kid a path": lambda f: f.signed(header={"kid": "../../../dev/null"}),
    "kid SQL": lambda f: f.signed(header={"kid": "' OR 1=1 --"}),
    "kid a list": lambda f: f.signed(header={"kid": ["dev"]}),
    "no kid": lambda f: f.signed(header={"kid": None}),
    "another audience": lambda f: f.signed(aud="other"),
    "no audience": lambda f: f.signed(aud=...),
    "another issuer": lambda f: f.signed(iss="https://evil.example"),
    "no issuer": lambda f: f.signed(iss=...),
    "expired": lambda f: f.signed(exp=f.claims()["iat"] - 1),
    "no expiry": lambda f: f.signed(exp=...),
    "not yet": lambda f: f.signed(nbf=f.claims()["iat"] + 600),
    "no beginning": lambda f: f.signed(nbf=...),
    "nobody": lambda f: f.signed(sub="0"),
    "subject no id": lambda f: f.signed(sub="1 OR 1=1"),
    "no subject": lambda f: f.signed(sub=...),
    "no id": lambda f: f.signed(jti=...),
    "role internal": lambda f: f.signed(role="internal"),
    "role root": lambda f: f.signed(role="root"),
    "claims twice": Forge.claimed_twice,
    "claims no object": lambda f: f.over(
        json.dumps({"alg": "Ed25519", "kid": f.kid}), "[1]"
    ),
    "oversize": lambda f: f.signed(padding="x" * 4_000),
    "a bit of the header": lambda f: f.flipped(0),
    "a bit of the claims": lambda f: f.flipped(1),
    "a bit of the signature": lambda f: f.flipped(2),
    "cut short": lambda f: f.ann.token[:-4],
    "two tokens": lambda f: f"{f.ann.token}.{f.ann.token}",
    "refresh token": lambda f: f.refresh,
    "words": lambda _: "let me in",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def forge(mesh: Mesh) -> AsyncIterator[Forge]:
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
        login = {"handle": ann.handle, "password": PASSWORD}
        session = (await client.post("/v1/sessions", json=login)).json()["session"]
        yield Forge(mesh.data / "secrets", ann, session["refreshToken"])


async def get(client: httpx.AsyncClient, path: str, token: str) -> httpx.Response:
    return await client.get(path, headers={"authorization": f"Bearer {token}"})


async def test_the_edge_takes_no_forgery(forge: Forge) -> None:
    """The same answer for all, with a challenge, also where no token is needed."""
    client = forge.ann.client
    answers: set[bytes] = set()
    for name, make in FORGERIES.items():
        for path in ("/v1/feed", f"/v1/users/{forge.ann.user_id}"):
            answer = await get(client, path, make(forge))
            assert refusal(answer) == REFUSED, (name, answer.text)
            assert "invalid_token" in answer.headers["www-authenticate"]
            answers.add(without_request_id(answer))

    assert len(answers) == 1
    assert (await get(client, "/v1/feed", forge.signed())).status_code == 200


@pytest.mark.parametrize("room", METHODS)
async def test_no_room_takes_a_forgery(mesh: Mesh, forge: Forge, room: str) -> None:
    """Each verifies for itself: the gateway is no wall that hides them."""
    request = b"\x08" + varint(int(forge.ann.user_id)) if room == "svc_ingest" else b""
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
    async with mesh.channel(room) as channel:
        method = channel.unary_unary(METHODS[room])
        for name, make in FORGERIES.items():
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method(request, metadata=bearer(make(forge)), timeout=5)
            assert rpc_refusal(caught.value) == UNAUTHENTICATED, name
        await method(request, metadata=bearer(forge.signed()), timeout=5)


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


async def test_an_access_token_refreshes_nothing(forge: Forge) -> None:
    """Each kind of token serves for one thing."""
    answer = await forge.ann.client.post(
        "/v1/sessions:refresh", json={"refreshToken": forge.ann.token[:500]}
    )

    assert refusal(answer) in {
        (401, "REFRESH_TOKEN_INVALID"),
        (400, "VALIDATION_FAILED"),
    }


async def test_a_token_in_the_wrong_place_is_no_token(forge: Forge) -> None:
    """Another scheme, a query, a cookie: nobody is signed in by them."""
    client, token = forge.ann.client, forge.ann.token
    for headers in ({"authorization": f"Basic {token}"}, {"authorization": token}):
        assert refusal(await client.get("/v1/feed", headers=headers)) == REFUSED
    cookie = await client.get("/v1/feed", headers={"cookie": f"token={token}"})
    assert refusal(cookie) == (401, "TOKEN_MISSING")
    query = await client.get(f"/v1/feed?access_token={token}")
    assert refusal(query)[0] == 401


async def test_the_end_of_a_session_ends_its_tokens(mesh: Mesh) -> None:
    """Logging out is heeded by the next call; a stolen refresh token ends it too."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
        login = {"handle": ann.handle, "password": PASSWORD}
        for path in ("/v1/sessions:revoke", "/v1/sessions:refresh"):
            session = (await client.post("/v1/sessions", json=login)).json()["session"]
            token = {"refreshToken": session["refreshToken"]}
            assert (await client.post(path, json=token)).is_success
            if path.endswith("refresh"):
                stolen = await client.post(path, json=token)
                assert refusal(stolen) == (401, "REFRESH_TOKEN_REUSED")

            answer = await get(client, "/v1/feed", session["accessToken"])
            assert refusal(answer) == REFUSED

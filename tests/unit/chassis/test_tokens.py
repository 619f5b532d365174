"""Access tokens, and every way in which one can be hostile (T6)."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.jwk import OctKey, OKPKey

from chassis import secrets
from chassis.callers import Caller, Role
from chassis.errors import Unauthenticated
from chassis.testing import FakeClock, refuses
from chassis.tokens import AccessTokens


@pytest.fixture(name="folder")
def folder_of_secrets(tmp_path: Path) -> Path:
    secrets.create_development(tmp_path)
    return tmp_path


@pytest.fixture(name="clock")
def still_clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="tokens")
def access_tokens(folder: Path, clock: FakeClock) -> AccessTokens:
    return AccessTokens(folder, clock=clock)


def key_of(folder: Path) -> OKPKey:
    return OKPKey.import_key((folder / secrets.SIGNING_KEY).read_bytes())


def kid_of(folder: Path) -> str:
    jwks = orjson.loads((folder / secrets.JWKS).read_bytes())
    kid: str = jwks["keys"][0]["kid"]
    return kid


def claims_at(clock: FakeClock, **changed: Any) -> dict[str, Any]:
    now = clock.now().timestamp()
    claims = {
        "iss": "feedmesh",
        "aud": "feedmesh",
        "sub": "7",
        "role": "user",
        "sid": "s1",
        "jti": "t1",
        "nbf": now,
        "exp": now + 60,
    } | changed
    return {name: value for name, value in claims.items() if value is not ...}


def signed(folder: Path, payload: bytes, **header: Any) -> str:
    """A token with a true signature over any header and payload."""
    fields = {"alg": "Ed25519", "kid": kid_of(folder), "typ": "JWT"} | header
    encoded = f"{b64(orjson.dumps(fields))}.{b64(payload)}"
    private = key_of(folder).private_key
    assert isinstance(private, Ed25519PrivateKey)
    return f"{encoded}.{b64(private.sign(encoded.encode()))}"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_person(tokens: AccessTokens) -> None:
    """A person's token names the person and the session."""
    token = tokens.issue(user_id=7, session_id="s1", ttl=60)

    assert tokens.verify(token) == Caller(
        user_id=7, role=Role.USER, session_id="s1", origin=Role.USER
    )


def test_service(tokens: AccessTokens) -> None:
    """A service token names a service, and nobody."""
    token = tokens.issue(role=Role.SERVICE, service="importer", ttl=60)

    assert tokens.verify(token) == Caller(
        role=Role.SERVICE, service="importer", origin=Role.SERVICE
    )


def test_our_own_shape_verifies(
    tokens: AccessTokens, folder: Path, clock: FakeClock
) -> None:
    """The hostile tokens below differ from this good one in one thing each."""
    token = signed(folder, orjson.dumps(claims_at(clock)))

    assert tokens.inspect(token).token_id == "t1"


def test_expiry_is_exact(tokens: AccessTokens, clock: FakeClock) -> None:
    """Good up to its last second, cached or not, and no longer."""
    token = tokens.issue(user_id=7, ttl=60)
    clock.advance(59)
    tokens.verify(token)
    clock.advance(2)

    with refuses(Unauthenticated, "TOKEN_INVALID"):
        tokens.verify(token)


def test_not_yet_good(tokens: AccessTokens, folder: Path, clock: FakeClock) -> None:
    """A clock may be off by seconds, not by minutes."""
    now = clock.now().timestamp()
    soon = signed(folder, orjson.dumps(claims_at(clock, nbf=now + 3)))
    later = signed(folder, orjson.dumps(claims_at(clock, nbf=now + 30)))

    tokens.verify(soon)
    with refuses(Unauthenticated, "TOKEN_INVALID"):
        tokens.verify(later)


@pytest.mark.parametrize(
    "changed",
    [
        *({name: ...} for name in ("iss", "aud", "sub", "role", "sid", "jti")),
        *({name: ...} for name in ("nbf", "exp")),
        {"iss": "other"},
        {"aud": "other"},
        {"aud": ["feedmesh", "other"]},
        {"role": "internal"},
        {"role": "anonymous"},
        {"role": ["user"]},
        {"sub": "0"},
        {"sub": "-7"},
        {"sub": "7x"},
        {"sub": 7},
        {"sub": "\u0667"},
        {"sub": "1" * 30},
        {"sub": str(2**63)},
        {"jti": ""},
        {"exp": "soon"},
        {"exp": True},
        {"nbf": None},
        {"sid": None},
    ],
    ids=str,
)
def test_each_claim_is_required(
    tokens: AccessTokens, folder: Path, clock: FakeClock, changed: dict[str, Any]
) -> None:
    """A claim that is missing or of another kind makes the token worthless."""
    token = signed(folder, orjson.dumps(claims_at(clock, **changed)))

    with refuses(Unauthenticated, "TOKEN_INVALID"):
        tokens.verify(token)


def test_claim_that_comes_twice(
    tokens: AccessTokens, folder: Path, clock: FakeClock
) -> None:
    """Two readers could see two callers in it."""
    payload = orjson.dumps(claims_at(clock))[:-1] + b',"sub":"1"}'

    with refuses(Unauthenticated, "TOKEN_INVALID"):
        tokens.verify(signed(folder, payload))


@pytest.mark.parametrize("payload", [b"[]", b"7", b"{", b"\xff", b"[" * 3000, b""])
def test_payload_that_is_no_object(
    tokens: AccessTokens, folder: Path, payload: bytes
) -> None:
    """Even with a true signature."""
    with refuses(Unauthenticated, "TOKEN_INVALID"):
        tokens.verify(signed(folder, payload))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "EdDSA"},
        {"alg": "HS256"},
        {"alg": None},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"jku": "http://evil/jwks"},
        {"jwk": {"kty": "OKP"}},
        {"x5u": "http://evil"},
        {"kid": "../../etc/passwd"},
        {"kid": None},
        {"kid": ["a"]},
        {"kid": ""},
    ],
    ids=str,
)
def test_hostile_header(
    tokens: AccessTokens, folder: Path, clock: FakeClock, header: dict[str, Any]
) -> None:
    """The header says which of our keys, and nothing else."""
    token = signed(folder, orjson.dumps(claims_at(clock)), **header)

    with refuses(Unauthenticated, "TOKEN_INVALID"):
        tokens.verify(token)


def test_header_name_that_comes_twice(
    tokens: AccessTokens, folder: Path, clock: FakeClock
) -> None:
    """As for claims."""
    header = f'{{"alg":"none","alg":"Ed25519","kid":"{kid_of(folder)}"}}'
    encoded = f"{b64(header.encode())}.{b64(orjson.dumps(claims_at(clock)))}"
    private = key_of(folder).private_key
    assert isinstance(private, Ed25519PrivateKey)
    token = f"{encoded}.{b64(private.sign(encoded.encode()))}"

    with refuses(Unauthenticated, "TOKEN_INVALID"):
        tokens.verify(token)


def test_unsigned(tokens: AccessTokens, clock: FakeClock) -> None:
    """alg none, with and without anything after the last dot."""
    body = b64(json.dumps(claims_at(clock)).encode())
    head = b64(b'{"alg":"none","typ":"JWT"}')

    for token in (f"{head}.{body}.", f"{head}.{body}", f"{head}.{body}.x"):
        with refuses(Unauthenticated, "TOKEN_INVALID"):
            tokens.verify(token)


def test_symmetric_signature_with_the_public_key(
    tokens: AccessTokens, folder: Path, clock: FakeClock
) -> None:
    """The public key is no secret, so it must not serve as one."""
    public = key_of(folder).as_pem(private=False)
    header = {"alg": "HS256", "kid": kid_of(folder)}
    token = jws.serialize_compact(
        header,
        orjson.dumps(claims_at(clock)),
        OctKey.import_key(b64(public)),
        algorithms=["HS256"],
    )

    with refuses(Unauthenticated, "TOKEN_INVALID"):
        tokens.verify(token)


def test_signature_of_a_stranger(
    tokens: AccessTokens, folder: Path, clock: FakeClock
) -> None:
    """Another Ed25519 key under our key id."""
    stranger = OKPKey.generate_key("Ed25519")
    token = jws.serialize_compact(
        {"alg": "Ed25519", "kid": kid_of(folder)},
        orjson.dumps(claims_at(clock)),
        stranger,
        algorithms=["Ed25519"],
    )

    with refuses(Unauthenticated, "TOKEN_INVALID"):
        tokens.verify(token)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_no_part_can_be_changed(tokens: AccessTokens, part: int) -> None:
    """Header, claims and signature hold together."""
    parts = tokens.issue(user_id=7, ttl=60).split(".")
    middle = len(parts[part]) // 2
    swapped = "A" if parts[part][middle] != "A" else "B"
    parts[part] = parts[part][:middle] + swapped + parts[part][middle + 1 :]

    with refuses(Unauthenticated, "TOKEN_INVALID"):
        tokens.verify(".".join(parts))


@pytest.mark.parametrize(
    "make",
    [
        lambda token: token + "A" * 4096,
        lambda token: "",
        lambda token: "a.b.c",
        lambda token: token + ".x.y",
        lambda token: token.replace(".", ""),
        lambda token: "é" + token,
        lambda token: " " + token,
    ],
)
def test_malformed(tokens: AccessTokens, make: Callable[[str], str]) -> None:
    """Longer than 4 KB, empty, or not in three parts."""
    with refuses(Unauthenticated, "TOKEN_INVALID"):
        tokens.verify(make(tokens.issue(user_id=7, ttl=60)))


def test_oversize_is_refused_though_well_signed(
    tokens: AccessTokens, folder: Path, clock: FakeClock
) -> None:
    """Nothing of ours is that long."""
    payload = orjson.dumps(claims_at(clock, sid="s" * 4096))

    with refuses(Unauthenticated, "TOKEN_INVALID"):
        tokens.verify(signed(folder, payload))


def test_new_key_is_found_when_the_file_changes(folder: Path, clock: FakeClock) -> None:
    """Keys roll without a restart of those who verify."""
    verifier = AccessTokens(folder, clock=clock)
    (folder / secrets.SIGNING_KEY).unlink()
    (folder / secrets.JWKS).unlink()
    secrets.create_development(folder)
    os.utime(folder / secrets.JWKS, ns=(0, 1))

    token = AccessTokens(folder, clock=clock).issue(user_id=7, ttl=60)

    assert verifier.verify(token).user_id == 7


def test_nothing_verifies_without_keys(tokens: AccessTokens, clock: FakeClock) -> None:
    """A service without a folder of secrets believes no token."""
    token = tokens.issue(user_id=7, ttl=60)

    with refuses(Unauthenticated, "TOKEN_INVALID"):
        AccessTokens(None, clock=clock).verify(token)
    with pytest.raises(RuntimeError, match="no tokens can be issued"):
        AccessTokens(None, clock=clock).issue(user_id=7, ttl=60)


def test_published_keys_are_public(tokens: AccessTokens, folder: Path) -> None:
    """What GetJwks answers holds no private part."""
    (key,) = tokens.jwks()["keys"]

    assert key["kid"] == kid_of(folder)
    assert "d" not in key

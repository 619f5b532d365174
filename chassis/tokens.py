"""Access tokens: what people and outside services show. Ed25519 JWTs, nothing else.

One algorithm, one issuer, one audience, every claim required; the key is found by
its id among ours, never by anything that the token says about where keys are.
"""

import json
import re
import secrets as random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import orjson
from cachetools import LRUCache
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode

from chassis import secrets
from chassis.callers import Caller, Role
from chassis.clock import Clock, SystemClock
from chassis.errors import Unauthenticated

ALGORITHM = "Ed25519"
ISSUER = "feedmesh"
AUDIENCE = "feedmesh"

MAX_BYTES = 4096
"""A token longer than this is refused unread."""

LEEWAY = 5.0
"""Seconds by which the issuer's clock may run ahead of ours."""

TOKEN_ROLES = frozenset({Role.USER, Role.ADMIN, Role.SERVICE})

USER_ID = re.compile("[1-9][0-9]{0,18}")
MAX_USER_ID = 2**63 - 1

# No crit, no jku, no jwk, no x5u: a header says which key, not where it is.
HEADER = frozenset({"alg", "kid", "typ"})

_CACHED = 20_000
_SYSTEM_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Verified:
    """A token that was verified: whose it is, and until when."""

    caller: Caller
    token_id: str
    not_before: float
    expires_at: float
    """Seconds since the Unix epoch."""


class AccessTokens:
    """Issues tokens, where the private key is, and verifies them, everywhere."""

    def __init__(self, folder: Path | None, *, clock: Clock = _SYSTEM_CLOCK) -> None:
        """Keys are read from the folder of secrets; without one nothing verifies."""
        self._folder = folder
        self._clock = clock
        self._keys: dict[str, OKPKey] = {}
        self._read_at: int | None = None
        self._signer: tuple[str, OKPKey] | None = None
        self._verified: LRUCache[str, Verified] = LRUCache(_CACHED)
        self._load()

    def issue(
        self,
        *,
        user_id: int = 0,
        role: Role = Role.USER,
        service: str = "",
        session_id: str = "",
        ttl: float,
    ) -> str:
        """A new token. RuntimeError where there is no private key."""
        if self._signer is None:
            self._signer = self._read_signer()
        kid, key = self._signer
        now = self._clock.now().timestamp()
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": service if role is Role.SERVICE else str(user_id),
            "role": role.value,
            "sid": session_id,
            "jti": random.token_urlsafe(12),
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now + ttl),
        }
        header = {"alg": ALGORITHM, "kid": kid, "typ": "JWT"}
        return jws.serialize_compact(
            header, orjson.dumps(claims), key, algorithms=[ALGORITHM]
        )

    def verify(self, token: str) -> Caller:
        """Whose token it is; Unauthenticated for anything but a good one."""
        return self.inspect(token).caller

    def inspect(self, token: str) -> Verified:
        """As verify, with the token's id and expiry."""
        verified = self._verified.get(token)
        if verified is None:
            verified = self._verify(token)
            self._verified[token] = verified
        now = self._clock.now().timestamp()
        if not verified.not_before - LEEWAY <= now < verified.expires_at:
            self._verified.pop(token, None)
            _refuse()
        return verified

    def jwks(self) -> Mapping[str, Any]:
        """The public keys, as a JSON Web Key Set."""
        self._load()
        return {"keys": [key.as_dict(private=False) for key in self._keys.values()]}

    def _verify(self, token: str) -> Verified:
        if len(token) > MAX_BYTES or not token.isascii():
            _refuse()
        try:
            header = _strict_json(urlsafe_b64decode(token.partition(".")[0].encode()))
            if set(header) - HEADER or header.get("alg") != ALGORITHM:
                _refuse()
            key = self._key(header.get("kid"))
            payload = jws.deserialize_compact(token, key, [ALGORITHM]).payload
            claims = _strict_json(payload)
        except (JoseError, ValueError, TypeError, RecursionError):
            _refuse()
        return _verified(claims)

    def _key(self, kid: object) -> OKPKey:
        if not isinstance(kid, str):
            _refuse()
        if kid not in self._keys:
            self._load()
        if kid not in self._keys:
            _refuse()
        return self._keys[kid]

    def _load(self) -> None:
        """Reads the public keys, if the file is another one than last time."""
        if self._folder is None or not (path := self._folder / secrets.JWKS).exists():
            return
        changed = path.stat().st_mtime_ns
        if changed == self._read_at:
            return
        found = orjson.loads(path.read_bytes())["keys"]
        self._keys = {
            key["kid"]: OKPKey.import_key(key)
            for key in found
            if key.get("kty") == "OKP" and key.get("crv") == "Ed25519"
        }
        self._read_at = changed

    def _read_signer(self) -> tuple[str, OKPKey]:
        if self._folder is None:
            raise RuntimeError("no folder of secrets: no tokens can be issued")
        pem = (self._folder / secrets.SIGNING_KEY).read_bytes()
        key = OKPKey.import_key(pem)
        for kid, public in self._keys.items():
            if public.as_dict(private=False)["x"] == key.as_dict(private=False)["x"]:
                return kid, key
        raise RuntimeError(f"{secrets.JWKS} does not hold the signing key")


def _strict_json(encoded: bytes) -> dict[str, Any]:
    """A JSON object; a name that comes twice is refused, as it reads in two ways."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a name comes twice")
        return dict(pairs)

    found = json.loads(encoded, object_pairs_hook=once)
    if not isinstance(found, dict):
        raise TypeError("not an object")
    return found


def _verified(claims: dict[str, Any]) -> Verified:
    """What signed claims say, or Unauthenticated when one of them is not as ours."""
    role, subject = claims.get("role"), claims.get("sub")
    texts = (role, subject, claims.get("jti"))
    times = (claims.get("nbf"), claims.get("exp"))
    if (
        claims.get("iss") != ISSUER
        or claims.get("aud") != AUDIENCE
        or not all(isinstance(text, str) and text for text in texts)
        or not all(type(time) in (int, float) for time in times)
        or not isinstance(claims.get("sid"), str)
        or role not in TOKEN_ROLES
    ):
        _refuse()
    is_service = role == Role.SERVICE
    if not is_service and not (
        USER_ID.fullmatch(str(subject)) and int(str(subject)) <= MAX_USER_ID
    ):
        _refuse()
    return Verified(
        caller=Caller(
            user_id=0 if is_service else int(claims["sub"]),
            role=Role(claims["role"]),
            service=claims["sub"] if is_service else "",
            session_id=claims["sid"],
            origin=Role(claims["role"]),
        ),
        token_id=claims["jti"],
        not_before=claims["nbf"],
        expires_at=claims["exp"],
    )


def _refuse() -> NoReturn:
    raise Unauthenticated("TOKEN_INVALID", "the token is not valid")

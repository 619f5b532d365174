"""Keyset paging: page sizes, pages, and signed tokens."""

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from chassis.clock import Clock
from chassis.errors import InvalidArgument

T = TypeVar("T")

_VERSION = 1
_MAC_BYTES = 16
# Format version, length of the key id, expiry in Unix seconds.
_HEAD = struct.Struct(">BBI")
_READER = struct.Struct(">q")


def clamp(size: int, *, default: int, ceiling: int) -> int:
    """The page size meant by a request: 0 is the default, too many the ceiling."""
    if size <= 0:
        return default
    return min(size, ceiling)


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items of a list, and how to go on."""

    items: list[T] = field(default_factory=list)
    next_token: str = ""
    """Empty when there is nothing more."""


class PageTokens:
    """Seals positions into tokens that only their reader can use, for one list.

    A token is signed, not encrypted: a position holds nothing secret. `scope`
    names the list and every argument that shapes it, in one canonical form; it
    goes into the signature, not into the token.
    """

    def __init__(
        self, *, keys: Mapping[str, bytes], clock: Clock, ttl: timedelta
    ) -> None:
        """`keys` by key id; the first signs, all verify."""
        if not keys:
            raise ValueError("page tokens need a key")
        self._keys = dict(keys)
        self._signer = next(iter(self._keys))
        self._clock = clock
        self._ttl = ttl

    def seal(self, *, scope: str, reader: int, position: bytes) -> str:
        expiry = int((self._clock.now() + self._ttl).timestamp())
        kid = self._signer.encode()
        body = _HEAD.pack(_VERSION, len(kid), expiry) + kid + position
        mac = _mac(self._keys[self._signer], body, scope, reader)
        return base64.urlsafe_b64encode(mac + body).rstrip(b"=").decode()

    def open(self, token: str, *, scope: str, reader: int) -> bytes:
        """The position sealed into the token.

        Raises InvalidArgument, the same for every cause, so that the answer
        tells a forger nothing.
        """
        position = self._verified(token, scope, reader)
        if position is None:
            raise InvalidArgument(
                "PAGE_TOKEN_INVALID",
                "the page token is malformed, expired, or of another list",
            )
        return position

    def _verified(self, token: str, scope: str, reader: int) -> bytes | None:
        try:
            raw = base64.b64decode(
                token + "=" * (-len(token) % 4), altchars=b"-_", validate=True
            )
            mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
            version, kid_length, expiry = _HEAD.unpack_from(body)
            kid = body[_HEAD.size : _HEAD.size + kid_length].decode()
        except (binascii.Error, struct.error, ValueError):
            return None
        key = self._keys.get(kid)
        if key is None or version != _VERSION:
            return None
        if not hmac.compare_digest(mac, _mac(key, body, scope, reader)):
            return None
        if expiry < self._clock.now().timestamp():
            return None
        return body[_HEAD.size + kid_length :]


def _mac(key: bytes, body: bytes, scope: str, reader: int) -> bytes:
    bound_to = hashlib.sha256(scope.encode()).digest() + _READER.pack(reader)
    return hmac.digest(key, bound_to + body, "sha256")[:_MAC_BYTES]

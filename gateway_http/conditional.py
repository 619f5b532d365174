"""ETags and conditions: decided on wire bytes, before anything is turned into JSON.

The tag of an answer names its bytes, and after a comma-free mark also the etag field
of the resource in it, where there is one: `"a1b2;w=6f0c…"`. So the tag that a GET
answers can be given back in If-Match of a PATCH, and so can the bare etag field.
"""

from __future__ import annotations

import hashlib
import re

from chassis.errors import Aborted, InvalidArgument, Violation

MARK = ";w="
# entity-tag of RFC 9110, without the weakness mark.
ENTITY_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
PLAIN = re.compile(r"[\x21\x23-\x7e]{1,64}")


def digest(wire: bytes) -> str:
    """Names the bytes of an answer."""
    return hashlib.blake2b(wire, digest_size=12).hexdigest()


def tag(wire_digest: str, etag: str = "") -> bytes:
    prefix = etag if PLAIN.fullmatch(etag) else ""
    return f'"{prefix}{MARK}{wire_digest}"'.encode()


def not_modified(if_none_match: str, wire_digest: str) -> bytes | None:
    """The caller's own tag, when it names these bytes (weak comparison)."""
    suffix = MARK + wire_digest
    for found in ENTITY_TAG.finditer(if_none_match):
        if found[2].endswith(suffix):
            return f'"{found[2]}"'.encode("latin-1")
    return None


def expected_etag(if_match: str) -> str:
    """The etag field that If-Match asks for; empty for `*`, which asks for any.

    Raises Aborted for a weak tag, which matches nothing, and InvalidArgument for
    what is no single tag.
    """
    if if_match in ("", "*"):
        return ""
    found = ENTITY_TAG.fullmatch(if_match)
    if found is None:
        raise InvalidArgument(
            "VALIDATION_FAILED",
            'If-Match takes one tag in quotes, such as "a1b2".',
            violations=[Violation("If-Match", "is not one entity tag")],
        )
    etag = found[2].rpartition(MARK)[0] if MARK in found[2] else found[2]
    if found[1] or not etag:
        raise Aborted("ETAG_MISMATCH", "If-Match names no version of this resource.")
    return etag

"""Secrets, read from files once: keys that sign, keys that verify.

A key file has lines "kid:base64key"; the first key signs, all of them verify, so
that a new key can be rolled in before it is used and an old one rolled out after.
"""

import base64
import binascii
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import orjson
from joserfc.jwk import OKPKey

INTERNAL_KEYS = "internal_keys"
PAGE_TOKEN_KEYS = "page_token_keys"
JWKS = "jwks.json"
SIGNING_KEY = "signing_key.pem"

# A key id with this prefix is refused in production.
DEVELOPMENT = "dev"

MIN_KEY_BYTES = 32

# Used only where env is dev and no folder of secrets is named: known to everyone.
DEVELOPMENT_KEYS: Mapping[str, bytes] = {"dev": b"feedmesh-development-key-32bytes"}


def read_keys(path: Path) -> dict[str, bytes]:
    """The keys of a file by id, in order. ValueError names the file, not a key."""
    keys: dict[str, bytes] = {}
    for line in path.read_text("ascii").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        kid, separator, encoded = line.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not separator or not kid or len(key) < MIN_KEY_BYTES:
            raise ValueError(
                f"{path}: each line must be kid:base64 of at least 32 bytes"
            )
        keys[kid] = key
    if not keys:
        raise ValueError(f"{path}: no key in it")
    return keys


def create_development(folder: Path) -> None:
    """Writes a full set of new development secrets; what is there stays.

    Files are readable by their owner only. Their key ids say "dev", and a service
    in production refuses them.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (INTERNAL_KEYS, PAGE_TOKEN_KEYS):
        encoded = base64.b64encode(secrets.token_bytes(MIN_KEY_BYTES)).decode()
        _write_new(folder / name, f"{DEVELOPMENT}-1:{encoded}\n".encode())

    key = OKPKey.generate_key("Ed25519")
    if _write_new(folder / SIGNING_KEY, key.as_pem(private=True)):
        public = key.as_dict(private=False) | {
            "kid": f"{DEVELOPMENT}-{secrets.token_hex(4)}",
            "alg": "Ed25519",
            "use": "sig",
        }
        (folder / JWKS).unlink(missing_ok=True)
        _write_new(folder / JWKS, orjson.dumps({"keys": [public]}))


def _write_new(path: Path, content: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return True

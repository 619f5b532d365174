"""Queries: what they may set, and what they say."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote_plus

from google.protobuf.descriptor import Descriptor

from chassis.errors import InvalidArgument

from . import fields
from .fields import FieldPath
from .image import ImageError

MAX_PARAMETERS = 100


def leaves(
    name: str, descriptor: Descriptor, above: FieldPath, body: str
) -> Iterator[FieldPath]:
    """Every field that a query can set; ImageError where one needs a body."""
    for field in descriptor.fields:
        path = (*above, field)
        if not above and field.name == body:
            continue
        if fields.is_leaf(field):
            yield path
        elif field.is_repeated or field.message_type in [f.message_type for f in above]:
            raise ImageError(f"{name}: a query cannot set {fields.dotted(path)}")
        else:
            yield from leaves(name, fields.inside(field), path, body)


def parsed(query: bytes) -> Iterator[tuple[str, str]]:
    """Names and texts of a query, as HTML forms write them."""
    parts = query.decode("latin-1").split("&")
    if len(parts) > MAX_PARAMETERS:
        raise InvalidArgument(
            "REQUEST_TOO_LARGE",
            f"The query has more than {MAX_PARAMETERS} parameters.",
            metadata={"what": "parameters", "limit": str(MAX_PARAMETERS)},
        )
    for part in parts:
        if part:
            name, _, text = part.partition("=")
            yield unquote_plus(name), unquote_plus(text)

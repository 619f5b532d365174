"""Wire bytes to JSON: the same as json_format writes, for any message."""

import json
from typing import Any, cast

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_http import fields
from gateway_http.image import Image, packaged
from gateway_http.respond import JsonWriter
from tests.support.descriptors import every_kind

CONTRACT = packaged()
OUTPUTS = sorted({m.output.full_name for m in CONTRACT.methods})
YEAR_1, YEAR_9999 = -62135596800, 253402300799
TEN_THOUSAND_YEARS = 315_576_000_000

scalars: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_STRING: st.text(max_size=20),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=20),
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32),
    **{kind: st.integers(*bounds) for kind, bounds in fields.RANGES.items()},
}


def messages(descriptor: Descriptor, depth: int = 3) -> st.SearchStrategy[Message]:
    """Any message of a type, as deep as depth."""
    if descriptor.full_name in fields.TEXTUAL:
        return _textual(descriptor)

    @st.composite
    def build(draw: st.DrawFn) -> Message:
        message = Image.message_class(descriptor)()
        for field in descriptor.fields:
            if (field.message_type is None or depth) and draw(st.booleans()):
                _put(draw, message, field, depth)
        return message

    return build()


def _put(draw: st.DrawFn, message: Any, field: FieldDescriptor, depth: int) -> None:
    target = getattr(message, field.name)
    if fields.is_map(field):
        entry = fields.inside(field).fields_by_name
        for key in draw(st.lists(_single(entry["key"]), max_size=3)):
            value = entry["value"]
            if value.message_type is None:
                target[key] = draw(_single(value))
            else:
                target[key].CopyFrom(draw(messages(value.message_type, depth - 1)))
    elif field.message_type is not None:
        strategy = messages(field.message_type, depth - 1)
        if field.is_repeated:
            target.extend(draw(st.lists(strategy, max_size=3)))
        else:
            target.CopyFrom(draw(strategy))
            target.SetInParent()
    elif field.is_repeated:
        target.extend(draw(st.lists(_single(field), max_size=3)))
    else:
        setattr(message, field.name, draw(_single(field)))


def _single(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        known = [value.number for value in field.enum_type.values]
        return st.sampled_from(known) | st.integers(0, 1000)
    return scalars[field.type]


def _textual(descriptor: Descriptor) -> st.SearchStrategy[Message]:
    kind = Image.message_class(descriptor)
    nanos = st.sampled_from([0, 1, 1_000, 1_000_000, 123_456_789, 999_999_999, 500_000])
    if descriptor.name == "Timestamp":
        seconds = st.integers(YEAR_1, YEAR_9999)
        return st.builds(lambda s, n: kind(seconds=s, nanos=n), seconds, nanos)
    if descriptor.name == "Duration":
        seconds = st.integers(0, TEN_THOUSAND_YEARS)
        sign = st.sampled_from([-1, 1])
        return st.builds(
            lambda s, n, g: kind(seconds=g * s, nanos=g * n), seconds, nanos, sign
        )
    names = st.from_regex("[a-z]{1,5}(_[a-z]{1,5}){0,2}", fullmatch=True)
    return st.builds(lambda paths: kind(paths=paths), st.lists(names, max_size=3))


def same(message: Message) -> None:
    writer = JsonWriter(cast("Descriptor", message.DESCRIPTOR))
    written = json.loads(writer.write(writer.parse(message.SerializeToString())))
    theirs = json.loads(json_format.MessageToJson(message))
    assert written == theirs


@pytest.mark.parametrize("name", OUTPUTS)
def test_answers_read_as_json_format_writes_them(name: str) -> None:
    """Every answer of the contract, filled at random, is canonical proto3 JSON."""

    @settings(max_examples=25, deadline=None)
    @given(messages(CONTRACT.message(name)))
    def check(message: Message) -> None:
        same(message)

    check()


@settings(max_examples=60, deadline=None)
@given(messages(every_kind(), depth=2))
def test_every_kind_of_field_reads_as_json_format_writes_it(message: Message) -> None:
    """Maps, oneofs, optional fields and all scalars, though no answer has them yet."""
    same(message)


def test_text_stays_on_one_line() -> None:
    """No text can end a line of SSE: line breaks are escaped."""
    descriptor = CONTRACT.message("feedmesh.ingest.v1.Post")
    post = Image.message_class(descriptor)(text="a\n\ndata: b\r\x00\u2028")
    writer = JsonWriter(descriptor)

    written = writer.write(post)

    assert not {b"\n", b"\r", b"\0"} & {bytes([byte]) for byte in written}
    assert json.loads(written)["text"] == post.text  # type: ignore[attr-defined] # by name


def test_unknown_fields_are_left_out() -> None:
    """A newer service may answer more than this contract knows."""
    writer = JsonWriter(CONTRACT.message("feedmesh.ingest.v1.PostStats"))

    assert writer.write(writer.parse(b"\x08\x05\xf8\x7f\x01")) == b'{"likeCount":"5"}'

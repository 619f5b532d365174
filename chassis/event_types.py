"""The events of the contract by their subjects, and whom one of them names.

Read from the descriptor image: whoever keeps or shows an event needs no stub of the
room that published it.
"""

import functools
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from feedmesh.options.v1 import options_pb2

from chassis import policy

# Fields of events that name people, by the part they play. A user_id is the person
# the event is about: whoever wrote, or whoever read.
_AUTHORS = (
    "author_id",
    "user_id",
    "followee_id",
    "followee_ids",
    "blocked_id",
    "muted_id",
)
_READERS = (
    "user_id",
    "viewer_id",
    "follower_id",
    "follower_ids",
    "blocker_id",
    "muter_id",
)


@functools.cache
def event_types() -> Mapping[str, type[Message]]:
    """Every event of the contract by its subject."""
    pool = descriptor_pool.DescriptorPool()
    names = {}
    for file in policy.image().file:
        pool.Add(file)
        for message in file.message_type:
            subject = message.options.Extensions[options_pb2.event].subject
            if subject:
                names[subject] = f"{file.package}.{message.name}"
    return MappingProxyType(
        {
            subject: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
            for subject, name in names.items()
        }
    )


def decoded(subject: str, payload: bytes) -> Message | None:
    """The event; None where the bytes are of no known event."""
    kind = event_types().get(subject)
    if kind is None:
        return None
    try:
        return kind.FromString(payload)
    except DecodeError:
        return None


def id_of(event: Message | None) -> str:
    """The event id of its envelope; empty when there is none."""
    if event is None:
        return ""
    found: str = event.envelope.event_id  # type: ignore[attr-defined]  # all have it
    return found


def authors_in(event: Message | None) -> list[int]:
    """Ids of those whom the event names as authors."""
    return sorted(set(_named(event, _AUTHORS)))


def readers_in(event: Message | None) -> list[int]:
    """Ids of those whom the event names as readers."""
    return sorted(set(_named(event, _READERS)))


def _named(event: Message | None, fields: tuple[str, ...]) -> Iterator[int]:
    if event is None:
        return
    known = event.DESCRIPTOR.fields_by_name
    for name in fields:
        if name in known:
            value = getattr(event, name)
            yield from [value] if isinstance(value, int) else value

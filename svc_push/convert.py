"""Between the wire and the domain."""

from feedmesh.push.v1 import push_pb2

from .model import Change, EventKind, Live, Synced


def event_to_pb(event: Live) -> push_pb2.LiveEvent:
    """One event, with its position."""
    message = push_pb2.LiveEvent(position=str(event.position))
    message.occurred_at.FromDatetime(event.occurred)
    if event.change is not None:
        _name(message, event.kind, event.change)
    elif event.kind is EventKind.RESET:
        message.reset.SetInParent()
    else:
        message.heartbeat.SetInParent()
    return message


def _name(message: push_pb2.LiveEvent, kind: EventKind, change: Change) -> None:
    """The post or the author that the event is about."""
    if kind is EventKind.AUTHOR_REMOVED:
        message.author_removed.author_id = change.author_id
        return
    is_new = kind is EventKind.POST_ADDED
    target = message.post_added if is_new else message.post_removed
    target.post_id = change.post_id
    target.author_id = change.author_id


def synced_to_pb(synced: Synced) -> push_pb2.SyncResponse:
    """What a polling client is answered."""
    return push_pb2.SyncResponse(
        events=map(event_to_pb, synced.events),
        position=str(synced.position),
        has_more=synced.has_more,
    )

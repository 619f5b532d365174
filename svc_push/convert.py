"""Between the wire and the domain."""

from feedmesh.push.v1 import push_pb2

from .model import EventKind, Live, Synced


def event_to_pb(event: Live) -> push_pb2.LiveEvent:
    """One event, with its position."""
    message = push_pb2.LiveEvent(position=str(event.position))
    message.occurred_at.FromDatetime(event.occurred)
    if event.change is not None:
        target = (
            message.post_added
            if event.kind is EventKind.POST_ADDED
            else message.post_removed
        )
        target.post_id = event.change.post_id
        target.author_id = event.change.author_id
    elif event.kind is EventKind.RESET:
        message.reset.SetInParent()
    else:
        message.heartbeat.SetInParent()
    return message


def synced_to_pb(synced: Synced) -> push_pb2.SyncResponse:
    """What a polling client is answered."""
    return push_pb2.SyncResponse(
        events=map(event_to_pb, synced.events),
        position=str(synced.position),
        has_more=synced.has_more,
    )

"""The streams and the consumers on them, as JetStream is told."""

from dataclasses import dataclass
from datetime import datetime

import nats.js.errors
from nats.js import JetStreamContext, api

EVENTS = "EV"
DEAD = "DLQ"
ADVISORIES = "ADV"

_DAY = 86_400

ACK_WAIT = 30.0
MAX_DELIVER = 8
MAX_ACK_PENDING = 256

# "stream name already in use with a different configuration"
_EXISTS = 10058


@dataclass(frozen=True, kw_only=True)
class StreamLimits:
    """Sizes that depend on the installation."""

    replicas: int
    events_max_bytes: int
    dead_max_bytes: int


def events_config(limits: StreamLimits) -> api.StreamConfig:
    """Everything published: a pipe of a week, refused rather than cut when full."""
    return api.StreamConfig(
        name=EVENTS,
        subjects=["ev.>"],
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        discard=api.DiscardPolicy.NEW,
        max_age=7 * _DAY,
        max_bytes=limits.events_max_bytes,
        max_msg_size=64 * 1024,
        duplicate_window=600,
        num_replicas=limits.replicas,
        deny_delete=True,
        deny_purge=True,
    )


def dead_config(limits: StreamLimits) -> api.StreamConfig:
    """Events nobody could handle: kept for a month, the oldest go first."""
    return api.StreamConfig(
        name=DEAD,
        subjects=["dlq.>"],
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        discard=api.DiscardPolicy.OLD,
        max_age=30 * _DAY,
        max_bytes=limits.dead_max_bytes,
        duplicate_window=600,
        num_replicas=limits.replicas,
    )


def advisories_config(limits: StreamLimits) -> api.StreamConfig:
    """What the server says of events it gave up: the trace of one that killed its
    worker each time, so that nobody could bury it."""
    advisory = "$JS.EVENT.ADVISORY.CONSUMER"
    return api.StreamConfig(
        name=ADVISORIES,
        subjects=[
            f"{advisory}.MAX_DELIVERIES.{EVENTS}.>",
            f"{advisory}.MSG_TERMINATED.{EVENTS}.>",
        ],
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        discard=api.DiscardPolicy.OLD,
        max_age=30 * _DAY,
        max_bytes=limits.dead_max_bytes,
        num_replicas=limits.replicas,
    )


def consumer_config(durable: str, subject: str, replicas: int) -> api.ConsumerConfig:
    """A durable that workers pull from.

    Without a backoff list: it would silently replace the ack wait, and bare
    negative acks ignore it. The worker spaces its retries itself.
    """
    return api.ConsumerConfig(
        durable_name=durable,
        filter_subject=subject,
        deliver_policy=api.DeliverPolicy.ALL,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT,
        max_deliver=MAX_DELIVER,
        max_ack_pending=MAX_ACK_PENDING,
        num_replicas=replicas,
    )


async def ensure(js: JetStreamContext, limits: StreamLimits) -> datetime:
    """Makes the streams what they should be; answers when EV was created.

    An EV of another birth has none of the events published before it.
    """
    created = await _ensure(js, events_config(limits))
    await _ensure(js, dead_config(limits))
    await _ensure(js, advisories_config(limits))
    return created


async def _ensure(js: JetStreamContext, config: api.StreamConfig) -> datetime:
    try:
        info = await js.add_stream(config)
    except nats.js.errors.BadRequestError as error:
        if error.err_code != _EXISTS:
            raise
        info = await js.update_stream(config)
    assert info.created is not None
    return info.created

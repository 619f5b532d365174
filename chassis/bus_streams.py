"""The streams and the consumers on them, as JetStream is told."""

from datetime import datetime, timedelta

import nats.js.errors
from nats.js import JetStreamContext, api

from chassis.bus_settings import NatsSettings

EVENTS = "EV"
DEAD = "DLQ"
ADVISORIES = "ADV"

_ADVISORY = "$JS.EVENT.ADVISORY.CONSUMER"
MAX_DELIVERIES = f"{_ADVISORY}.MAX_DELIVERIES.{EVENTS}"

_DAY = 86_400
# How long the stream keeps an event.
EVENTS_KEPT = timedelta(days=7)

MAX_ACK_PENDING = 256

# "stream name already in use with a different configuration"
_EXISTS = 10058


def events_config(settings: NatsSettings) -> api.StreamConfig:
    """Everything published: a pipe of a week, refused rather than cut when full."""
    return api.StreamConfig(
        name=EVENTS,
        subjects=["ev.>"],
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        discard=api.DiscardPolicy.NEW,
        max_age=EVENTS_KEPT.total_seconds(),
        max_bytes=settings.events_max_bytes,
        max_msg_size=64 * 1024,
        duplicate_window=600,
        num_replicas=settings.replicas,
        deny_delete=True,
        deny_purge=True,
    )


def dead_config(settings: NatsSettings) -> api.StreamConfig:
    """Events nobody could handle: kept for a month, the oldest go first."""
    return api.StreamConfig(
        name=DEAD,
        subjects=["dlq.>"],
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        discard=api.DiscardPolicy.OLD,
        max_age=30 * _DAY,
        max_bytes=settings.dead_max_bytes,
        duplicate_window=600,
        num_replicas=settings.replicas,
    )


def advisories_config(settings: NatsSettings) -> api.StreamConfig:
    """What the server says of events it gave up: the trace of one that killed its
    worker each time, so that nobody could bury it."""
    return api.StreamConfig(
        name=ADVISORIES,
        subjects=[
            f"{MAX_DELIVERIES}.>",
            f"{_ADVISORY}.MSG_TERMINATED.{EVENTS}.>",
        ],
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        discard=api.DiscardPolicy.OLD,
        max_age=30 * _DAY,
        max_bytes=settings.dead_max_bytes,
        num_replicas=settings.replicas,
    )


def consumer_config(
    durable: str, subject: str, settings: NatsSettings
) -> api.ConsumerConfig:
    """A durable that workers pull from.

    Without a backoff list: it would silently replace the ack wait, and bare
    negative acks ignore it. The worker spaces its retries itself.
    """
    return api.ConsumerConfig(
        durable_name=durable,
        filter_subject=subject,
        deliver_policy=api.DeliverPolicy.ALL,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=settings.ack_wait,
        max_deliver=settings.max_deliver,
        max_ack_pending=MAX_ACK_PENDING,
        num_replicas=settings.replicas,
    )


async def ensure(js: JetStreamContext, settings: NatsSettings) -> datetime:
    """Makes the streams what they should be; answers when EV was created.

    An EV of another birth has none of the events published before it.
    """
    created = await _ensure(js, events_config(settings))
    await _ensure(js, dead_config(settings))
    await _ensure(js, advisories_config(settings))
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

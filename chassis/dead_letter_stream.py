"""The stream DLQ: read by sequence or by address."""

from collections.abc import AsyncIterator
from dataclasses import replace

import nats.js.errors
from nats.js import JetStreamContext

from chassis import dead_letters
from chassis.bus_streams import DEAD
from chassis.dead_letters import DeadLetter
from chassis.errors import NotFound


async def newest(js: JetStreamContext, limit: int) -> AsyncIterator[DeadLetter]:
    """The dead letters, newest first."""
    state = (await js.stream_info(DEAD)).state
    for number in range(state.last_seq, max(state.first_seq - 1, 0), -1):
        if limit <= 0:
            return
        try:
            yield await get(js, number)
        except NotFound:
            continue
        limit -= 1


async def get(js: JetStreamContext, number: int) -> DeadLetter:
    """One dead letter. Raises NotFound."""
    try:
        raw = await js.get_msg(DEAD, number)
    except nats.js.errors.NotFoundError as error:
        raise NotFound("INTERNAL", f"there is no dead letter {number}") from error
    return replace(dead_letters.read_raw(raw), number=number)


async def has(js: JetStreamContext, address: str) -> bool:
    """Whether there is a letter with this address."""
    try:
        await js.get_msg(DEAD, subject=address)
    except nats.js.errors.NotFoundError:
        return False
    return True

"""A worker that one event kills: python mortal.py NATS_URL ACK_WAIT MAX_DELIVER POST

Writes the number of each post it has handled, a line each.
"""

import asyncio
import os
import sys

from feedmesh.ingest.v1.events_pb2 import PostPublished

from chassis.bus import NatsSettings, open_bus


class Mortal:
    """Dies of one post, before anybody can be told."""

    event = PostPublished
    durable = "test-mortal"

    def __init__(self, *, deadly: int) -> None:
        self._deadly = deadly

    async def handle(self, event: PostPublished) -> None:
        if event.post_id == self._deadly:
            os._exit(9)
        # The others were begun when it happens, and have not ended.
        await asyncio.sleep(0.05)
        os.write(1, f"{event.post_id}\n".encode())


async def main(url: str, ack_wait: str, max_deliver: str, deadly: str) -> None:
    """Consumes until it dies or is killed."""
    settings = NatsSettings(
        url=url, ack_wait=float(ack_wait), max_deliver=int(max_deliver)
    )
    async with open_bus(settings, name="mortal") as bus:
        await bus.consumer(Mortal(deadly=int(deadly))).run()


asyncio.run(main(*sys.argv[1:]))

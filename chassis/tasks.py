"""Work that runs beside a block, for as long as the block lasts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any


@contextlib.asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Starts the work, and cancels and awaits it when the block ends.

    Unlike a TaskGroup it leaves the block's own exception as it is. The work
    handles its failures itself: one that escapes is raised at the end.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

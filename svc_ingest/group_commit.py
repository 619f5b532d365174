"""Group commit: items that come at the same time share one transaction."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from typing import Generic, TypeVar

from chassis.errors import MeshError, Unavailable

T = TypeVar("T")
R = TypeVar("R")

# Batches under way at once. More are smaller, and cost a commit each; with one, a
# commit that hangs would hold up everybody.
AT_ONCE = 2

Commit = Callable[[Sequence[T]], Awaitable[Sequence[R | MeshError]]]


class GroupCommit(Generic[T, R]):
    """Gathers items for a moment, commits them together and answers each.

    Opened by open_group_commit.
    """

    def __init__(
        self,
        *,
        commit: Commit[T, R],
        tasks: asyncio.TaskGroup,
        window: float,
        size: int,
        context: Context,
    ) -> None:
        self._commit = commit
        self._tasks = tasks
        self._window = window
        self._size = size
        self._context = context
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._running = 0
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """Items that are in no batch yet."""
        return len(self._waiting)

    async def submit(self, item: T) -> R:
        """Answers when the batch that holds the item is committed.

        Raises what the batch answers for this item, or what it failed with.
        """
        if self._is_closed:
            raise Unavailable("DEPENDENCY_UNAVAILABLE", "the service is stopping")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, answer))
        if len(self._waiting) >= self._size:
            self._start()
        elif self._timer is None and self._running < AT_ONCE:
            self._timer = loop.call_later(self._window, self._start)
        return await answer

    def close(self) -> None:
        """Commits what waits and takes nothing more."""
        self._is_closed = True
        self._start()

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Whoever went away in the meantime wants no post.
        batch = [pair for pair in self._waiting if not pair[1].done()]
        self._waiting = []
        if batch:
            self._running += 1
            # Neither caller nor deadline of one item may rule the others.
            self._tasks.create_task(self._run(batch), context=self._context.copy())

    async def _run(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        results: Sequence[R | Exception]
        try:
            results = await self._commit([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - every item of the batch raises it
            results = [error] * len(batch)
        self._running -= 1
        if self._waiting and self._timer is None:
            # They gathered while this one was committed.
            self._start()
        for (_, answer), result in zip(batch, results, strict=True):
            if answer.done():
                continue
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)


@asynccontextmanager
async def open_group_commit(
    *, commit: Commit[T, R], window: float, size: int
) -> AsyncIterator[GroupCommit[T, R]]:
    """Gathers for at most `window` seconds or `size` items; drains at the end."""
    failed: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        group = GroupCommit(
            commit=commit,
            tasks=tasks,
            window=window,
            size=size,
            context=copy_context(),
        )
        try:
            yield group
        except Exception as error:  # noqa: BLE001 - raised again below
            # Raised inside the task group it would cancel the commits under way,
            # and come out wrapped in a group.
            failed = error
        finally:
            group.close()
    if failed is not None:
        raise failed

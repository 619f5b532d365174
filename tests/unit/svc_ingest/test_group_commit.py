"""Group commit: what comes together is stored together and answered apart."""

import asyncio
from collections.abc import Sequence

import pytest

from chassis import deadline
from chassis.errors import Aborted, MeshError, Unavailable
from chassis.testing import eventually, refuses

from svc_ingest.group_commit import open_group_commit


class Commits:
    """Remembers its batches; refuses negative numbers, fails on a zero."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.remaining: list[float | None] = []

    async def __call__(self, items: Sequence[int]) -> list[int | MeshError]:
        self.batches.append(list(items))
        self.remaining.append(deadline.remaining())
        if 0 in items:
            raise Unavailable("DEPENDENCY_UNAVAILABLE")
        return [
            item * 10 if item > 0 else Aborted("REQUEST_ID_CONFLICT") for item in items
        ]


async def test_concurrent_items_share_a_commit() -> None:
    """Items of one moment are one batch, each with its own answer."""
    commits = Commits()
    async with open_group_commit(commit=commits, window=0.002, size=100) as group:
        answers = await asyncio.gather(*(group.submit(n) for n in range(1, 51)))

    assert answers == [n * 10 for n in range(1, 51)]
    assert commits.batches == [list(range(1, 51))]


async def test_a_full_batch_does_not_wait() -> None:
    """The size limit starts a batch before its window ends."""
    commits = Commits()
    async with open_group_commit(commit=commits, window=3600, size=2) as group:
        await asyncio.gather(*(group.submit(n) for n in range(1, 5)))

    assert commits.batches == [[1, 2], [3, 4]]


async def test_items_gather_while_two_commits_are_under_way() -> None:
    """They do not start a third: they are the next batch, whole and at once."""
    commits = Commits()
    gates = [asyncio.Event(), asyncio.Event()]

    async def slow(items: Sequence[int]) -> list[int | MeshError]:
        number = len(commits.batches)
        answers = await commits(items)
        if number < len(gates):
            await gates[number].wait()
        return answers

    async with (
        open_group_commit(commit=slow, window=0, size=100) as group,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(group.submit(1))
        await eventually(lambda: commits.batches == [[1]])
        tasks.create_task(group.submit(2))
        await eventually(lambda: commits.batches == [[1], [2]])
        late = [tasks.create_task(group.submit(n)) for n in range(3, 8)]
        await eventually(lambda: group.waiting == len(late))
        assert len(commits.batches) == 2

        gates[0].set()
        await asyncio.wait(late)
        gates[1].set()

    assert commits.batches == [[1], [2], [3, 4, 5, 6, 7]]


async def test_one_bad_item_fails_alone() -> None:
    """An error in an item's place is raised to that caller only."""
    async with open_group_commit(commit=Commits(), window=0.002, size=9) as group:
        good, bad = await asyncio.gather(
            group.submit(1), group.submit(-1), return_exceptions=True
        )

    assert good == 10
    assert isinstance(bad, Aborted)


async def test_a_failed_transaction_fails_all() -> None:
    """When the batch as a whole raises, nobody is told of success."""
    async with open_group_commit(commit=Commits(), window=0.002, size=9) as group:
        answers = await asyncio.gather(
            group.submit(1), group.submit(0), return_exceptions=True
        )

    assert [type(answer) for answer in answers] == [Unavailable, Unavailable]


async def test_an_item_whose_caller_left_is_not_committed() -> None:
    """A caller who went away before the batch began wants nothing stored."""
    commits = Commits()
    async with open_group_commit(commit=commits, window=3600, size=3) as group:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(group.submit(1), timeout=0.001)
        await asyncio.gather(group.submit(2), group.submit(3))

    assert [item for batch in commits.batches for item in batch] == [2, 3]


async def test_the_deadline_of_one_caller_does_not_rule_the_batch() -> None:
    """A batch started by a caller in a hurry has the time of its statements."""
    commits = Commits()
    async with (
        open_group_commit(commit=commits, window=0.002, size=9) as group,
        deadline.limit(0.2),
    ):
        await group.submit(1)

    assert commits.remaining == [None]


async def test_what_waits_at_the_end_is_committed_and_nothing_after() -> None:
    """Closing drains: an accepted item is answered, a late one refused."""
    commits = Commits()
    async with open_group_commit(commit=commits, window=3600, size=9) as group:
        waiting = asyncio.get_running_loop().create_task(group.submit(1))
        await asyncio.sleep(0)

    assert await waiting == 10
    with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
        await group.submit(2)

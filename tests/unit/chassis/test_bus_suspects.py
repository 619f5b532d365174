"""The turns of events that may have killed their worker."""

import asyncio

from chassis.bus_suspects import Suspects


async def served(*deliveries: tuple[int, int]) -> list[tuple[int, int]]:
    """The order in which deliveries (attempt, sequence) have their turns."""
    suspects = Suspects(gather=0)
    order: list[tuple[int, int]] = []
    inside = 0

    async def one(attempt: int, sequence: int) -> None:
        nonlocal inside
        async with suspects.turn(attempt=attempt, sequence=sequence):
            inside += 1
            order.append((attempt, sequence))
            await asyncio.sleep(0)
            assert inside == 1 or attempt < 3
            inside -= 1

    async with asyncio.TaskGroup() as group:
        for delivery in deliveries:
            group.create_task(one(*delivery))
    return order


async def test_the_suspected_are_served_alone_and_the_most_suspected_last() -> None:
    """Whoever was delivered less often is more likely innocent."""
    order = await served((5, 1), (3, 9), (4, 2), (3, 8))

    assert order == [(3, 8), (3, 9), (4, 2), (5, 1)]


async def test_the_order_turns_from_one_delivery_to_the_next() -> None:
    """Two rounds bring everybody past the one that kills, wherever it stands."""
    assert await served((3, 2), (3, 1), (3, 3)) == [(3, 1), (3, 2), (3, 3)]
    assert await served((4, 2), (4, 1), (4, 3)) == [(4, 3), (4, 2), (4, 1)]


async def test_first_deliveries_wait_for_nobody() -> None:
    """They are not suspected of anything."""
    suspects = Suspects(gather=0)
    async with (
        suspects.turn(attempt=3, sequence=1),
        suspects.turn(attempt=1, sequence=2),
        suspects.turn(attempt=2, sequence=3),
    ):
        pass


async def test_a_turn_is_passed_on_when_its_holder_is_cancelled() -> None:
    """In its turn, before it, or while it gathers the others."""
    for gather in (0, 60):
        suspects = Suspects(gather=gather)
        entered = asyncio.Event()

        async def hold(suspects: Suspects, entered: asyncio.Event) -> None:
            async with suspects.turn(attempt=3, sequence=1):
                entered.set()
                await asyncio.Event().wait()

        async with asyncio.TaskGroup() as group:
            first = group.create_task(hold(suspects, entered))
            waiting = group.create_task(hold(suspects, asyncio.Event()))
            if gather == 0:
                await entered.wait()
            await asyncio.sleep(0)
            waiting.cancel()
            first.cancel()
        suspects._gather = 0
        async with asyncio.timeout(5), suspects.turn(attempt=3, sequence=2):
            pass

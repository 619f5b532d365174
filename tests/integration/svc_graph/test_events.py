"""Consumers of svc_graph, each event handled twice: the second time changes nothing."""

from feedmesh.graph.v1 import events_pb2

from svc_graph.events import AcceptRequests, EndSessions, EraseUser
from svc_graph.model import UserId
from svc_graph.sweeping import Aftermath
from tests.support.graph import GraphStores, graph_stores


def aftermath(stores: GraphStores) -> Aftermath:
    return Aftermath(sweeps=stores.sweeps, revocations=stores.revocations)


async def mark_of(stores: GraphStores, user: UserId) -> int:
    [mark] = await stores.valkey.read([f"revu:{user}"])
    return int(mark or 0)


async def test_erasing_twice_erases_once() -> None:
    """All edges end, and every count is right."""
    async with graph_stores() as stores:
        star, *fans = await stores.people(4)
        await stores.imports.add_follows([(fan, star) for fan in fans], who="test")
        await stores.follow(star, fans[0])
        await stores.standing.delete(star, who="star", edge_limit=0)
        event = events_pb2.UserDeleted(user_id=star)
        event.envelope.occurred_at.FromDatetime(stores.clock.now())
        handler = EraseUser(aftermath=aftermath(stores))
        await handler.handle(event)
        told = await stores.published()
        await handler.handle(event)

        assert [await stores.counts(fan) for fan in fans] == [(0, 0)] * 3
        assert await mark_of(stores, star) > 0
        assert await stores.published() == told


async def test_a_suspension_told_twice_voids_once() -> None:
    """A second telling does not void the tokens that were issued in between."""
    async with graph_stores() as stores:
        ann = await stores.person()
        event = events_pb2.UserSuspended(user_id=ann)
        event.envelope.occurred_at.FromDatetime(stores.clock.now())
        handler = EndSessions(aftermath=aftermath(stores))
        await handler.handle(event)
        first = await mark_of(stores, ann)
        stores.clock.advance(60)
        await handler.handle(event)

        assert await mark_of(stores, ann) == first


async def test_accepting_twice_accepts_once() -> None:
    """Each request becomes one follow with one event; private accounts wait."""
    async with graph_stores() as stores:
        ann, bob = await stores.person(private=True), await stores.person()
        async with stores.edges.pair(bob, ann) as pair:
            await pair.add_request(bob, ann)
        handler = AcceptRequests(aftermath=aftermath(stores))
        await handler.handle(events_pb2.UserUpdated(user_id=ann, is_private=True))
        waiting = await stores.relation(bob, ann)
        # The event says public, the record still private: the record decides.
        await handler.handle(events_pb2.UserUpdated(user_id=ann))
        still = await stores.relation(bob, ann)
        await stores.pool.execute("UPDATE graph_state SET is_private = false")
        for _ in range(2):
            await handler.handle(events_pb2.UserUpdated(user_id=ann))

        assert not waiting.is_following
        assert not still.is_following
        assert await stores.counts(ann) == (1, 0)
        assert await stores.published() == ["user_followed"]

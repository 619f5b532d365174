"""The rules of svc_ingest's Graph port, whoever answers."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from chassis.errors import Unavailable
from chassis.testing import refuses

from domain.visibility import Relation, UserState
from svc_ingest.model import UserId
from svc_ingest.ports import Graph

ANN, BOB, EVE = UserId(1), UserId(2), UserId(3)


class Opened(Protocol):
    """A Graph, and how to tell it what to answer."""

    @property
    def graph(self) -> Graph: ...

    def know(self, viewer: UserId, person: UserId, relation: Relation) -> None: ...

    def stop(self) -> None: ...


class GraphContract:
    """Rules every Graph keeps. Subclasses say how to open one that knows nothing."""

    def open_graph(self) -> AbstractAsyncContextManager[Opened]:
        raise NotImplementedError

    async def test_every_person_asked_for_is_answered(self) -> None:
        """Also those of whom nothing is known: they are strangers."""
        async with self.open_graph() as opened:
            found = await opened.graph.relations(ANN, [EVE, BOB])

            assert found == {BOB: Relation(), EVE: Relation()}

    async def test_each_fact_arrives(self) -> None:
        """No fact is lost or taken for another."""
        one_each = [
            Relation(is_following=True),
            Relation(is_followed_by=True),
            Relation(is_blocking=True),
            Relation(is_blocked_by=True),
            Relation(is_muting=True),
            Relation(is_private=True),
            Relation(state=UserState.SUSPENDED),
            Relation(state=UserState.DELETED),
        ]
        async with self.open_graph() as opened:
            for relation in one_each:
                opened.know(ANN, BOB, relation)

                assert await opened.graph.relations(ANN, [BOB]) == {BOB: relation}

    async def test_relations_are_the_viewer_s(self) -> None:
        """Somebody else's, and those of nobody, are others."""
        async with self.open_graph() as opened:
            opened.know(ANN, BOB, Relation(is_following=True))

            assert not (await opened.graph.relations(EVE, [BOB]))[BOB].is_following
            assert not (await opened.graph.relations(UserId(0), [BOB]))[
                BOB
            ].is_following

    async def test_silence_is_an_error_of_its_own(self) -> None:
        """Unknown relations are never taken for harmless ones."""
        async with self.open_graph() as opened:
            opened.stop()

            with refuses(Unavailable, "RELATIONS_UNAVAILABLE"):
                await opened.graph.relations(ANN, [BOB])

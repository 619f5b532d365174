"""The twins in memory keep the rules of the ports they stand for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.visibility import Relation
from svc_ingest.model import PostId, UserId
from tests.contract.ingest_graph_contract import GraphContract
from tests.contract.ingest_posts_contract import PostsContract
from tests.support.ingest_memory import MemoryGraph, MemoryPosts


class OpenedGraph:
    def __init__(self) -> None:
        self.graph = MemoryGraph()

    def know(self, viewer: UserId, person: UserId, relation: Relation) -> None:
        self.graph.known[viewer, person] = relation

    def stop(self) -> None:
        self.graph.is_down = True


class OpenedPosts:
    def __init__(self) -> None:
        self.new = self.stored = MemoryPosts()

    async def forget(self, post_id: PostId) -> None:
        await self.stored.forget(post_id)


class TestMemoryGraph(GraphContract):
    """Graph from a dict."""

    @asynccontextmanager
    async def open_graph(self) -> AsyncIterator[OpenedGraph]:
        yield OpenedGraph()


class TestMemoryPosts(PostsContract):
    """Posts in dicts."""

    @asynccontextmanager
    async def open_posts(self) -> AsyncIterator[OpenedPosts]:
        yield OpenedPosts()

"""`meshctl reconcile counters`: it walks to the end, over real calls."""

from typing import Any

import pytest

from feedmesh.graph.v1 import graph_pb2, graph_pb2_grpc
from feedmesh.ingest.v1 import post_pb2, post_pb2_grpc

from chassis.auth import Caller, Role, calling_as
from chassis.testing.serving import serving

from meshctl.reconcile import Drift, Stretch, of_people, of_posts

OPERATOR = Caller(user_id=1, role=Role.ADMIN)


class Posts(post_pb2_grpc.PostServiceServicer):
    """Three pages of posts, the last one empty; the second has a drift."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bool]] = []

    async def ReconcileCounters(
        self, request: post_pb2.ReconcileCountersRequest, context: Any
    ) -> post_pb2.ReconcileCountersResponse:
        self.asked.append((request.after_post_id, request.repair))
        page = len(self.asked)
        answer = post_pb2.ReconcileCountersResponse(
            checked_count=0 if page == 3 else 500, last_post_id=(10, 20, 0)[page - 1]
        )
        if page == 2:
            answer.drifts.add(post_id=17, counter="like_count", stored=3, counted=2)
        return answer


class People(graph_pb2_grpc.GraphServiceServicer):
    """One page of people, with a drift."""

    async def ReconcileCounters(
        self, request: graph_pb2.ReconcileCountersRequest, context: Any
    ) -> graph_pb2.ReconcileCountersResponse:
        answer = graph_pb2.ReconcileCountersResponse(checked_count=2)
        answer.drifts.add(user_id=5, counter="follower_count", stored=0, counted=1)
        return answer


@pytest.mark.parametrize("repair", [False, True])
async def test_posts_are_walked_to_the_end(*, repair: bool) -> None:
    """From the last id of a page to the next page, until there is none."""
    posts = Posts()  # type: ignore[abstract]  # only what is called
    async with serving(
        {post_pb2_grpc.add_PostServiceServicer_to_server: posts}
    ) as served:
        stub = post_pb2_grpc.PostServiceStub(served.channel)
        with calling_as(OPERATOR):
            found = [stretch async for stretch in of_posts(stub, repair=repair)]

    assert posts.asked == [(0, repair), (10, repair), (20, repair)]
    assert [stretch.checked for stretch in found] == [500, 500, 0]
    assert [drift for stretch in found for drift in stretch.drifts] == [
        Drift("post", 17, "like_count", 3, 2)
    ]


async def test_people_are_walked_alike() -> None:
    """Their half of the answer has names of its own."""
    people = People()  # type: ignore[abstract]  # only what is called
    async with serving(
        {graph_pb2_grpc.add_GraphServiceServicer_to_server: people}
    ) as served:
        stub = graph_pb2_grpc.GraphServiceStub(served.channel)
        with calling_as(OPERATOR):
            found = [stretch async for stretch in of_people(stub, repair=False)]

    assert found == [Stretch(2, [Drift("person", 5, "follower_count", 0, 1)])]

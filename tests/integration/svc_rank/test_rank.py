"""RankService as its wiring puts it together, over real gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from feedmesh.rank.v1 import rank_pb2, rank_pb2_grpc

from chassis.auth import Caller, Role, calling_as
from chassis.client import ChannelSettings, open_channel
from chassis.errors import InvalidArgument, PermissionDenied
from chassis.run import running
from chassis.testing import refuses

from svc_rank.settings import RankSettings
from svc_rank.wiring import assemble

HOUR = 3_600_000
NOW = 1_800_000_000_000


@asynccontextmanager
async def rank_room(
    *, as_caller: bool = False
) -> AsyncIterator[rank_pb2_grpc.RankServiceAsyncStub]:
    async with AsyncExitStack() as stack:
        settings = RankSettings(port=0, admin_port=0, linger_seconds=0)
        app = await stack.enter_async_context(assemble(settings))
        up = await stack.enter_async_context(running(app, settings))
        assert up.health is not None
        await up.health.report(is_ready=True)
        channel = await stack.enter_async_context(
            open_channel(
                ChannelSettings(
                    target=f"127.0.0.1:{up.port}",
                    service="test",
                    keys=settings.internal_keys,
                    as_caller=as_caller,
                )
            )
        )
        yield rank_pb2_grpc.RankServiceStub(channel)


def request(*post_ids: int) -> rank_pb2.RankRequest:
    return rank_pb2.RankRequest(
        viewer_id=1,
        as_of_ms=NOW,
        post_ids=post_ids,
        author_ids=post_ids,
        create_times_ms=[NOW - HOUR * post_id for post_id in post_ids],
    )


async def test_candidates_come_back_in_order_with_terms() -> None:
    """Indexes best first; a row of named terms for each candidate."""
    async with rank_room() as rank:
        answer = await rank.Rank(request(5, 1, 3))

    assert list(answer.order) == [1, 2, 0]
    assert list(answer.term_names) == ["recency", "affinity", "engagement", "diversity"]
    assert len(answer.terms) == 3 * len(answer.term_names)
    assert answer.model_version


async def test_equal_requests_have_equal_answers() -> None:
    """Nothing is kept between calls."""
    async with rank_room() as rank:
        first = await rank.Rank(request(5, 1, 3))
        await rank.Rank(request(2, 4))

        assert await rank.Rank(request(5, 1, 3)) == first


async def test_columns_of_different_length_are_refused() -> None:
    """By the contract's rule."""
    wrong = request(1, 2)
    wrong.like_counts.append(1)
    async with rank_room() as rank:
        with refuses(InvalidArgument, "VALIDATION_FAILED"):
            await rank.Rank(wrong)


async def test_people_may_not_call_it() -> None:
    """Rank is for the mesh."""
    async with rank_room(as_caller=True) as rank:
        with (
            calling_as(Caller(user_id=1, role=Role.USER)),
            refuses(PermissionDenied, "AUDIENCE_DENIED"),
        ):
            await rank.Rank(request(1))

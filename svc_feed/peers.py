"""The rooms that svc_feed asks, over their stubs."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

from feedmesh.graph.v1 import graph_pb2, graph_pb2_grpc, user_pb2, user_pb2_grpc
from feedmesh.ingest.v1 import post_pb2, post_pb2_grpc
from feedmesh.rank.v1 import rank_pb2, rank_pb2_grpc

from chassis import ids as time_ordered
from chassis.breaker import Breaker
from chassis.clock import Clock
from chassis.errors import ResourceExhausted

from domain.visibility import PostFacts, Relation

from . import frames
from .model import (
    ABOVE_ALL,
    BELOW_ALL,
    LIKED,
    SHARED,
    Candidate,
    Entry,
    Followee,
    Post,
    PostId,
    Profile,
    Ranking,
    Reach,
    Record,
    Relations,
    Score,
    Stats,
    UserId,
)

# What the contract lets one call ask for.
MOST_RELATIONS = 1_000
MOST_POSTS = 1_000
MOST_USERS = 100
MOST_AUTHORS = 500


class GraphPeer:
    """Graph at svc_graph."""

    def __init__(
        self, *, stub: graph_pb2_grpc.GraphServiceAsyncStub, read_seconds: float
    ) -> None:
        """`read_seconds`: what a page may wait for one answer."""
        self._stub = stub
        self._read_seconds = read_seconds

    async def relations(self, viewer: UserId, ids: Sequence[UserId]) -> Relations:
        found: dict[UserId, Relation] = {}
        for start in range(0, len(ids), MOST_RELATIONS):
            answer = await self._stub.GetRelations(
                graph_pb2.GetRelationsRequest(
                    viewer_id=viewer, user_ids=ids[start : start + MOST_RELATIONS]
                ),
                timeout=self._read_seconds,
            )
            for one in answer.relations:
                found[UserId(one.user_id)] = Relation(
                    is_following=one.is_following,
                    is_followed_by=one.is_followed_by,
                    is_blocking=one.is_blocking,
                    is_blocked_by=one.is_blocked_by,
                    is_muting=one.is_muting,
                    is_private=one.is_private,
                    state=one.state,
                )
        return found

    async def followed_celebrities(self, viewer: UserId) -> frozenset[UserId]:
        answer = await self._stub.ListFollowedCelebrities(
            graph_pb2.ListFollowedCelebritiesRequest(viewer_id=viewer),
            timeout=self._read_seconds,
        )
        return frozenset(map(UserId, answer.user_ids))

    async def reach(self, author: UserId) -> Reach:
        answer = await self._stub.GetReach(graph_pb2.GetReachRequest(user_id=author))
        return Reach(
            answer.follower_count,
            answer.is_celebrity,
            answer.is_fanned_out,
            answer.following_count,
        )

    async def followers(
        self, author: UserId, *, after: UserId
    ) -> AsyncGenerator[list[UserId]]:
        pages = self._stub.StreamFollowers(
            graph_pb2.StreamFollowersRequest(user_id=author, after_user_id=after)
        )
        try:
            async for page in pages:
                yield list(map(UserId, page.follower_ids))
        finally:
            # Whoever has enough closes this, and svc_graph reads no further.
            pages.cancel()

    async def followee(self, viewer: UserId, author: UserId) -> Followee | None:
        pages = self._stub.StreamFollowing(
            graph_pb2.StreamFollowingRequest(
                user_id=viewer, after_user_id=author - 1, page_size=1
            )
        )
        try:
            async for page in pages:
                found = _followees(page)[0]
                return found if found.user_id == author else None
        finally:
            pages.cancel()
        return None

    async def following(self, viewer: UserId) -> AsyncIterator[list[Followee]]:
        pages = self._stub.StreamFollowing(
            graph_pb2.StreamFollowingRequest(user_id=viewer)
        )
        async for page in pages:
            yield _followees(page)

    async def complete_reach_change(self, author: UserId, version: int) -> bool:
        answer = await self._stub.CompleteReachChange(
            graph_pb2.CompleteReachChangeRequest(user_id=author, reach_version=version)
        )
        return answer.is_completed


class PeoplePeer:
    """People at svc_graph."""

    def __init__(self, *, stub: user_pb2_grpc.UserServiceAsyncStub) -> None:
        self._stub = stub

    async def profiles(self, ids: Sequence[UserId]) -> Mapping[UserId, Profile]:
        found: dict[UserId, Profile] = {}
        for start in range(0, len(ids), MOST_USERS):
            answer = await self._stub.BatchGetUsers(
                user_pb2.BatchGetUsersRequest(user_ids=ids[start : start + MOST_USERS])
            )
            counts = {
                user.user_id: stats.follower_count
                for user, stats in zip(answer.users, answer.stats, strict=False)
            }
            for user in answer.users:
                body = user.SerializeToString()
                found[UserId(user.user_id)] = Profile(
                    body, frames.nested(2, body), counts.get(user.user_id, 0)
                )
        return found


class PostsPeer:
    """PostRecords at svc_ingest."""

    def __init__(self, *, stub: post_pb2_grpc.PostServiceAsyncStub) -> None:
        self._stub = stub

    async def records(
        self, ids: Sequence[PostId], *, viewer: UserId
    ) -> Mapping[PostId, Record]:
        found: dict[PostId, Record] = {}
        for start in range(0, len(ids), MOST_POSTS):
            answer = await self._stub.BatchGetPosts(
                post_pb2.BatchGetPostsRequest(
                    post_ids=ids[start : start + MOST_POSTS], viewer_id=viewer
                )
            )
            for record in answer.posts:
                found[PostId(record.post.post_id)] = _record(record)
        return found

    async def recents(
        self,
        authors: Sequence[UserId],
        *,
        limit: int,
        after: PostId = BELOW_ALL,
        before: PostId = ABOVE_ALL,
    ) -> Mapping[UserId, Sequence[Entry]]:
        found: dict[UserId, list[Entry]] = {author: [] for author in authors}
        for start in range(0, len(authors), MOST_AUTHORS):
            answer = await self._stub.BatchListRecentPosts(
                post_pb2.BatchListRecentPostsRequest(
                    author_ids=authors[start : start + MOST_AUTHORS],
                    after_post_id=after,
                    before_post_id=0 if before == ABOVE_ALL else before,
                    limit=limit,
                )
            )
            for post_id, author_id in zip(
                answer.post_ids, answer.author_ids, strict=True
            ):
                author = UserId(author_id)
                found[author].append(Entry(PostId(post_id), author))
        for entries in found.values():
            entries.sort(reverse=True)
        return found


class RankPeer:
    """Ranker at svc_rank, behind a breaker and a bulkhead."""

    def __init__(
        self,
        *,
        stub: rank_pb2_grpc.RankServiceAsyncStub,
        breaker: Breaker,
        clock: Clock,
        seconds: float,
        most_in_flight: int,
    ) -> None:
        self._stub = stub
        self._breaker = breaker
        self._clock = clock
        self._seconds = seconds
        self._most_in_flight = most_in_flight
        self._in_flight = 0

    async def rank(
        self,
        viewer: UserId,
        candidates: Sequence[Candidate],
        stats: Mapping[PostId, Stats],
    ) -> Ranking:
        if self._in_flight >= self._most_in_flight:
            raise ResourceExhausted("OVERLOADED", "too many pages wait for ranking")
        request = _rank_request(
            viewer, candidates, stats, int(self._clock.now().timestamp() * 1000)
        )
        self._in_flight += 1
        try:
            answer = await self._breaker.call(lambda: self._ask(request))
        except _UnsoundError as error:
            answer = error.answer
        finally:
            self._in_flight -= 1
        return _ranking(candidates, answer)

    async def _ask(self, request: rank_pb2.RankRequest) -> rank_pb2.RankResponse:
        answer = await self._stub.Rank(request, timeout=self._seconds)
        if not is_sound(answer, len(request.post_ids)):
            raise _UnsoundError(answer)
        return answer


class _UnsoundError(Exception):
    """An answer that speaks against svc_rank, though something can be made of it."""

    def __init__(self, answer: rank_pb2.RankResponse) -> None:
        super().__init__("the ranking is no permutation, or its scores are no numbers")
        self.answer = answer


def _followees(page: graph_pb2.StreamFollowingResponse) -> list[Followee]:
    return [
        Followee(UserId(user_id), since_ms, is_celebrity)
        for user_id, since_ms, is_celebrity in zip(
            page.followee_ids, page.follow_times_ms, page.are_celebrities, strict=True
        )
    ]


def _record(record: post_pb2.PostRecord) -> Record:
    post, stats = record.post, record.stats
    body = post.SerializeToString()
    return Record(
        post=Post(
            facts=PostFacts(
                post.post_id,
                post.author_id,
                post.visibility,
                post.share_of,
                post.quote_of,
            ),
            body=body,
            frame=frames.nested(1, body),
        ),
        stats=Stats(
            stats.like_count,
            stats.comment_count,
            stats.share_count,
            stats.SerializeToString(),
        ),
        did=LIKED * record.viewer.liked | SHARED * record.viewer.shared,
    )


def _rank_request(
    viewer: UserId,
    candidates: Sequence[Candidate],
    stats: Mapping[PostId, Stats],
    as_of_ms: int,
) -> rank_pb2.RankRequest:
    counts = [stats.get(one.post_id) for one in candidates]
    return rank_pb2.RankRequest(
        viewer_id=viewer,
        as_of_ms=as_of_ms,
        post_ids=[one.post_id for one in candidates],
        author_ids=[one.author_id for one in candidates],
        create_times_ms=[time_ordered.ms_of(one.post_id) for one in candidates],
        affinities=[one.affinity for one in candidates],
        like_counts=[one.likes if one else 0 for one in counts],
        comment_counts=[one.comments if one else 0 for one in counts],
        share_counts=[one.shares if one else 0 for one in counts],
    )


def is_sound(answer: rank_pb2.RankResponse, size: int) -> bool:
    """Whether an answer is what it promises: a permutation, and finite scores."""
    return (
        sorted(answer.order) == list(range(size))
        and len(answer.scores) == size
        and len(answer.terms) == size * len(answer.term_names)
        and all(map(math.isfinite, answer.scores))
    )


def _ranking(candidates: Sequence[Candidate], answer: rank_pb2.RankResponse) -> Ranking:
    """What can be made of an answer that nobody vouches for."""
    size = len(candidates)
    order = [candidates[at].post_id for at in answer.order if 0 <= at < size]

    def score(post_id: PostId) -> Score | None:
        # A page shows scores only when asked to, and a fifth of the window.
        place = next(
            (at for at, one in enumerate(candidates) if one.post_id == post_id), size
        )
        if place not in answer.order:
            return None
        names = answer.term_names
        terms = answer.terms[place * len(names) : (place + 1) * len(names)]
        value = answer.scores[place] if place < len(answer.scores) else 0.0
        return Score(value, list(zip(names, terms, strict=False)))

    return Ranking(order, score)

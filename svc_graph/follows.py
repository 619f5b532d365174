"""Following, and asking to follow."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)

from .model import FollowState, UserId, UserState, Version
from .ports import Edges, Pair


@asynccontextmanager
async def pair_of(edges: Edges, me: UserId, other: UserId) -> AsyncIterator[Pair]:
    """Opens a pair for a person who may act, with somebody else.

    A token outlives a suspension by minutes: the record decides who may act.
    """
    if me == other:
        raise InvalidArgument("SELF_TARGET")
    async with edges.pair(me, other) as pair:
        if pair.me.state is not UserState.ACTIVE:
            raise PermissionDenied("ACCOUNT_SUSPENDED")
        yield pair


def require_visible(pair: Pair) -> None:
    """Raises NotFound unless I may see the other: the same whatever the cause."""
    if pair.other.state is not UserState.ACTIVE or pair.ties.is_blocked_by:
        raise NotFound("USER_NOT_FOUND")


class Follows:
    """Follows and requests of the calling person."""

    def __init__(self, *, edges: Edges) -> None:
        self._edges = edges

    async def follow(self, me: UserId, other: UserId) -> tuple[FollowState, Version]:
        async with pair_of(self._edges, me, other) as pair:
            if pair.other.state is not UserState.ACTIVE:
                raise NotFound("USER_NOT_FOUND")
            if pair.ties.is_blocking or pair.ties.is_blocked_by:
                raise FailedPrecondition("FOLLOW_REFUSED")
            if pair.ties.is_following:
                return FollowState.FOLLOWING, pair.version
            if pair.other.is_private:
                if not pair.ties.has_requested:
                    await pair.add_request(me, other)
                return FollowState.REQUESTED, pair.version
            if pair.ties.has_requested:
                await pair.end_request(me, other)
            await pair.add_follow(me, other)
            return FollowState.FOLLOWING, pair.version

    async def unfollow(self, me: UserId, other: UserId) -> Version:
        """Ends what I began, also with somebody whom I may no longer see."""
        async with pair_of(self._edges, me, other) as pair:
            if pair.ties.is_following:
                await pair.end_follow(me, other)
            elif pair.ties.has_requested:
                await pair.end_request(me, other)
            else:
                require_visible(pair)
            return pair.version

    async def approve(self, me: UserId, other: UserId) -> Version:
        async with pair_of(self._edges, me, other) as pair:
            self._require_request(pair)
            await pair.end_request(other, me)
            if not pair.ties.is_followed_by:
                await pair.add_follow(other, me)
            return pair.version

    async def deny(self, me: UserId, other: UserId) -> Version:
        async with pair_of(self._edges, me, other) as pair:
            self._require_request(pair)
            await pair.end_request(other, me)
            return pair.version

    def _require_request(self, pair: Pair) -> None:
        is_active = pair.other.state is UserState.ACTIVE
        if not is_active or not pair.ties.is_requested_by:
            raise NotFound("FOLLOW_REQUEST_NOT_FOUND")

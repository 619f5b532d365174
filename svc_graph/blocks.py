"""Keeping people out: blocks, which both sides feel, and mutes, which one does."""

from datetime import datetime

from chassis.clock import Clock

from .auditing import audited
from .follows import pair_of, require_visible
from .model import UserId, Version
from .ports import AuditTrail, Edges, Pair


class Blocks:
    """Blocks of the calling person."""

    def __init__(self, *, edges: Edges, trail: AuditTrail) -> None:
        self._edges = edges
        self._trail = trail

    async def block(self, me: UserId, other: UserId, *, who: str) -> Version:
        """Ends follows and requests both ways with the block, in one change.

        `who` is written into the audit trail.
        """
        async with (
            audited(self._trail, who=who, what="user.block", target=other),
            pair_of(self._edges, me, other) as pair,
        ):
            if not pair.ties.is_blocking:
                require_visible(pair)
                await self._sever(pair)
                await pair.add_block()
            return pair.version

    async def unblock(self, me: UserId, other: UserId, *, who: str) -> Version:
        """Ends my block, also when the other blocks me as well."""
        async with (
            audited(self._trail, who=who, what="user.unblock", target=other),
            pair_of(self._edges, me, other) as pair,
        ):
            if pair.ties.is_blocking:
                await pair.end_block()
            else:
                require_visible(pair)
            return pair.version

    async def _sever(self, pair: Pair) -> None:
        me, other, ties = pair.me.user_id, pair.other.user_id, pair.ties
        if ties.is_following:
            await pair.end_follow(me, other)
        if ties.is_followed_by:
            await pair.end_follow(other, me)
        if ties.has_requested:
            await pair.end_request(me, other)
        if ties.is_requested_by:
            await pair.end_request(other, me)


class Mutes:
    """Mutes of the calling person."""

    def __init__(self, *, edges: Edges, clock: Clock) -> None:
        self._edges = edges
        self._clock = clock

    async def mute(
        self, me: UserId, other: UserId, *, until: datetime | None
    ) -> Version:
        """Mutes until then; an end that has passed takes a mute away."""
        async with pair_of(self._edges, me, other) as pair:
            require_visible(pair)
            if until is None or until > self._clock.now():
                await pair.set_mute(until)
            elif pair.ties.is_muting:
                await pair.end_mute()
            return pair.version

    async def unmute(self, me: UserId, other: UserId) -> Version:
        async with pair_of(self._edges, me, other) as pair:
            if pair.ties.is_muting:
                await pair.end_mute()
            else:
                require_visible(pair)
            return pair.version

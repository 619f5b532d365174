"""Lists of people in pages: followers, following, requests, blocks, mutes."""

import struct
from collections.abc import Awaitable, Callable

from chassis.clock import Clock
from chassis.errors import NotFound
from chassis.paging import Page, PageTokens

from .model import Listed, Position, User, UserId, UserState, Version
from .ports import Listings, Relations

POSITION = struct.Struct(">qq")

# Above every version and id there will be.
START = Position(Version(2**63 - 1), UserId(2**63 - 1))

Load = Callable[[int, Position], Awaitable[list[Listed]]]


class Lists:
    """Pages of people. A token continues one list of one reader."""

    def __init__(
        self,
        *,
        listings: Listings,
        relations: Relations,
        tokens: PageTokens,
        clock: Clock,
    ) -> None:
        self._listings = listings
        self._relations = relations
        self._tokens = tokens
        self._clock = clock

    async def followers(
        self, of: UserId, *, reader: UserId, size: int, token: str
    ) -> Page[User]:
        async def load(limit: int, after: Position) -> list[Listed]:
            await self._require_open(of, reader)
            return await self._listings.followers(
                of, reader=reader, limit=limit, after=after
            )

        return await self._page(f"followers/{of}", reader, size, token, load)

    async def following(
        self, of: UserId, *, reader: UserId, size: int, token: str
    ) -> Page[User]:
        async def load(limit: int, after: Position) -> list[Listed]:
            await self._require_open(of, reader)
            return await self._listings.following(
                of, reader=reader, limit=limit, after=after
            )

        return await self._page(f"following/{of}", reader, size, token, load)

    async def requests(self, of: UserId, *, size: int, token: str) -> Page[User]:
        async def load(limit: int, after: Position) -> list[Listed]:
            return await self._listings.requests(of, limit=limit, after=after)

        return await self._page("requests", of, size, token, load)

    async def blocks(self, of: UserId, *, size: int, token: str) -> Page[User]:
        async def load(limit: int, after: Position) -> list[Listed]:
            return await self._listings.blocks(of, limit=limit, after=after)

        return await self._page("blocks", of, size, token, load)

    async def mutes(self, of: UserId, *, size: int, token: str) -> Page[User]:
        async def load(limit: int, after: Position) -> list[Listed]:
            return await self._listings.mutes(
                of, limit=limit, after=after, now=self._clock.now()
            )

        return await self._page("mutes", of, size, token, load)

    async def _page(
        self, scope: str, reader: UserId, size: int, token: str, load: Load
    ) -> Page[User]:
        after = START
        if token:
            after = _position(self._tokens.open(token, scope=scope, reader=reader))
        listed = await load(size + 1, after)
        page = listed[:size]
        if len(listed) <= size:
            return Page([item.user for item in page])
        last = page[-1].position
        position = POSITION.pack(last.version, last.user_id)
        return Page(
            [item.user for item in page],
            self._tokens.seal(scope=scope, reader=reader, position=position),
        )

    async def _require_open(self, of: UserId, reader: UserId) -> None:
        """A private account's lists look to outsiders like those of nobody."""
        relations, _ = await self._relations.of(reader, [of], now=self._clock.now())
        [relation] = relations
        is_reader = of == reader
        if relation.state is not UserState.ACTIVE or relation.is_blocked_by:
            raise NotFound("USER_NOT_FOUND")
        if relation.is_private and not is_reader and not relation.is_following:
            raise NotFound("USER_NOT_FOUND")


def _position(raw: bytes) -> Position:
    version, user_id = POSITION.unpack(raw)
    return Position(Version(version), UserId(user_id))

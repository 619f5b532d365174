"""Rules of Listings and Relations."""

from contextlib import AbstractAsyncContextManager

from svc_graph.model import (
    NOBODY,
    Followed,
    Position,
    ProfileChange,
    Reach,
    UserId,
    UserState,
    Version,
)
from tests.support.graph import CELEBRITY_THRESHOLD, GraphStores

NEWEST = Position(Version(2**63 - 1), UserId(2**63 - 1))


class ReadsContract:
    """Rules every Listings and Relations keeps. Subclasses open empty stores."""

    def open(self) -> AbstractAsyncContextManager[GraphStores]:
        raise NotImplementedError

    async def test_positions_join_without_gap(self) -> None:
        """Pages from position to position yield each follower once, newest first."""
        async with self.open() as stores:
            ann, *fans = await stores.people(6)
            for fan in fans:
                await stores.follow(fan, ann)
            seen, after = [], NEWEST
            while page := await stores.listings.followers(
                ann, reader=ann, limit=2, after=after
            ):
                seen += [item.user.user_id for item in page]
                after = page[-1].position

            assert seen == fans[::-1]

    async def test_edges_of_one_change_keep_an_order(self) -> None:
        """Imported follows share a version: pages still neither repeat nor skip."""
        async with self.open() as stores:
            ann, *fans = await stores.people(6)
            await stores.imports.add_follows([(ann, fan) for fan in fans], who="test")
            seen, after = [], NEWEST
            while page := await stores.listings.following(
                ann, reader=ann, limit=2, after=after
            ):
                seen += [item.user.user_id for item in page]
                after = page[-1].position

            assert seen == fans[::-1]

    async def test_lists_leave_out_the_hidden(self) -> None:
        """Suspended people, and those across a block from the reader, are not shown."""
        async with self.open() as stores:
            ann, bob, cid, dan, eve = await stores.people(5)
            for fan in (bob, cid, dan, eve):
                await stores.follow(fan, ann)
            await stores.standing.suspend(
                bob, who="admin", reason="", now=stores.clock.now()
            )
            await stores.block(cid, eve)
            await stores.block(eve, dan)
            listed = await stores.listings.followers(
                ann, reader=eve, limit=9, after=NEWEST
            )

            assert [item.user.user_id for item in listed] == [eve]

    async def test_blocks_show_all_that_can_be_unblocked(self) -> None:
        """Also who blocks the reader in turn."""
        async with self.open() as stores:
            ann, bob, cid = await stores.people(3)
            await stores.block(ann, bob)
            await stores.block(bob, ann)
            await stores.block(ann, cid)
            listed = await stores.listings.blocks(ann, limit=9, after=NEWEST)

            assert [item.user.user_id for item in listed] == [cid, bob]

    async def test_mutes_end_in_the_list_too(self) -> None:
        """A mute that ran out is not listed."""
        async with self.open() as stores:
            ann, bob, cid = await stores.people(3)
            for other, until in ((bob, stores.clock.now()), (cid, None)):
                async with stores.edges.pair(ann, other) as pair:
                    await pair.set_mute(until)
            stores.clock.advance(1)
            listed = await stores.listings.mutes(
                ann, limit=9, after=NEWEST, now=stores.clock.now()
            )

            assert [item.user.user_id for item in listed] == [cid]

    async def test_relations_come_in_the_order_asked_for(self) -> None:
        """Also for people named twice and for nobody, up to a thousand."""
        async with self.open() as stores:
            ann, bob, cid = await stores.people(3)
            await stores.follow(ann, cid)
            wanted = [cid, UserId(1), bob, cid, *map(UserId, range(2, 998))]
            relations, version = await stores.relations.of(
                ann, wanted, now=stores.clock.now()
            )

            assert [relation.user_id for relation in relations] == wanted
            assert [r.is_following for r in relations[:4]] == [True, False, False, True]
            assert relations[1].state is UserState.DELETED
            assert version > 0

    async def test_nobody_has_no_ties(self) -> None:
        """Viewer 0 sees states and privacy alone."""
        async with self.open() as stores:
            ann = await stores.person(private=True)
            relations, version = await stores.relations.of(
                NOBODY, [ann], now=stores.clock.now()
            )

            assert relations[0].is_private
            assert not relations[0].is_following
            assert version == 0

    async def test_followers_stream_ascending(self) -> None:
        """All of them in pages, from after an id."""
        async with self.open() as stores:
            ann, *fans = await stores.people(6)
            for fan in fans[::-1]:
                await stores.follow(fan, ann)
            pages = [
                page
                async for page in stores.relations.followers(ann, size=2, after=fans[0])
            ]

            assert pages == [fans[1:3], fans[3:5]]

    async def test_whom_a_person_follows_streams_ascending(self) -> None:
        """All in pages, from after an id, since when, and who of them is pulled."""
        async with self.open() as stores:
            ann, bob, cid, dan, *fans = await stores.people(CELEBRITY_THRESHOLD + 4)
            await stores.imports.add_follows([(fan, cid) for fan in fans], who="test")
            times = {}
            for followee in (dan, bob, cid):
                stores.clock.advance(60)
                times[followee] = stores.clock.now()
                await stores.follow(ann, followee)
            await stores.standing.suspend(
                dan, who="admin", reason="", now=stores.clock.now()
            )
            whole, rest = [
                [
                    page
                    async for page in stores.relations.following(
                        ann, size=2, after=after
                    )
                ]
                for after in (NOBODY, bob)
            ]

            assert whole == [
                [
                    Followed(bob, times[bob], is_celebrity=False),
                    Followed(cid, times[cid], is_celebrity=True),
                ],
                [Followed(dan, times[dan], is_celebrity=False)],
            ]
            assert rest == [[whole[0][1], whole[1][0]]]

    async def test_every_way_to_follow_has_its_time(self) -> None:
        """Imported follows and accepted requests as well."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            cid = await stores.person(private=True)
            async with stores.edges.pair(ann, cid) as pair:
                await pair.add_request(ann, cid)
            stores.clock.advance(60)
            await stores.imports.add_follows([(ann, bob)], who="test")
            change = ProfileChange(is_private=False)
            await stores.users.update(cid, change, etag="", accept_limit=9)
            [page] = [
                page
                async for page in stores.relations.following(ann, size=9, after=NOBODY)
            ]

            assert [one.since for one in page] == [stores.clock.now()] * 2

    async def test_nobody_reaches_nobody(self) -> None:
        """Reach is zero for who never existed; there is no page of followers."""
        async with self.open() as stores:
            reach = await stores.reach(UserId(1))
            pages = [
                page
                async for page in stores.relations.followers(
                    UserId(1), size=2, after=NOBODY
                )
            ]

            assert reach == Reach(0, 0, is_celebrity=False, is_fanned_out=True)
            assert pages == []

    async def test_followed_celebrities_are_those_followed(self) -> None:
        """Ascending; not those who are not followed, and not the suspended."""
        async with self.open() as stores:
            ann, bob, cid, dan, *fans = await stores.people(CELEBRITY_THRESHOLD + 4)
            stars = [bob, cid, dan]
            await stores.imports.add_follows(
                [(fan, star) for fan in fans for star in stars], who="test"
            )
            for star in (cid, bob):
                await stores.follow(ann, star)
            both = await stores.relations.followed_celebrities(ann)
            await stores.standing.suspend(
                bob, who="admin", reason="", now=stores.clock.now()
            )

            assert both == [bob, cid]
            assert await stores.relations.followed_celebrities(ann) == [cid]

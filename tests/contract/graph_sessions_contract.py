"""Rules of SessionRecords and Revocations."""

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from svc_graph.model import Rotated, Rotation, SessionId, UserId
from tests.support.graph import GraphStores

SESSION = SessionId("s1")
LIFE = timedelta(days=30)


async def opened(stores: GraphStores) -> UserId:
    """A person with a session whose first token is b"1"."""
    user = await stores.person()
    now = stores.clock.now()
    assert await stores.sessions.open(
        SESSION, user, token_hash=b"1", now=now, expires_at=now + LIFE
    )
    return user


async def rotate(stores: GraphStores, old: bytes, new: bytes) -> Rotated:
    now = stores.clock.now()
    return await stores.sessions.rotate(old, new, now=now, expires_at=now + LIFE)


class SessionsContract:
    """Rules every SessionRecords and Revocations keeps."""

    def open(self) -> AbstractAsyncContextManager[GraphStores]:
        raise NotImplementedError

    async def test_each_token_buys_the_next(self) -> None:
        """A chain of tokens, one session."""
        async with self.open() as stores:
            user = await opened(stores)
            first = await rotate(stores, b"1", b"2")
            second = await rotate(stores, b"2", b"3")

            assert first == second == Rotated(Rotation.ROTATED, SESSION, user)

    async def test_a_token_shown_twice_ends_the_session(self) -> None:
        """Whoever holds the newest token is out too: one of the two stole it."""
        async with self.open() as stores:
            await opened(stores)
            await rotate(stores, b"1", b"2")
            reused = await rotate(stores, b"1", b"x")
            newest = await rotate(stores, b"2", b"3")

            assert reused.outcome is Rotation.REUSED
            assert newest.outcome is Rotation.UNKNOWN

    async def test_one_of_two_concurrent_trades_wins(self) -> None:
        """The other is a reuse."""
        async with self.open() as stores:
            await opened(stores)
            outcomes = await asyncio.gather(
                rotate(stores, b"1", b"a"), rotate(stores, b"1", b"b")
            )

            assert sorted(found.outcome for found in outcomes) == [
                Rotation.ROTATED,
                Rotation.REUSED,
            ]

    async def test_unknown_expired_and_revoked_look_alike(self) -> None:
        """No token of a session that is over buys anything."""
        async with self.open() as stores:
            await opened(stores)
            unknown = await rotate(stores, b"?", b"a")
            stores.clock.advance(LIFE.total_seconds())
            expired = await rotate(stores, b"1", b"a")

            assert unknown.outcome is expired.outcome is Rotation.UNKNOWN

    async def test_revoking_ends_the_session(self) -> None:
        """By any of its tokens; an unknown one changes nothing."""
        async with self.open() as stores:
            await opened(stores)
            now = stores.clock.now()

            assert await stores.sessions.revoke(b"?", now=now) is None
            assert await stores.sessions.revoke(b"1", now=now) == SESSION
            assert (await rotate(stores, b"1", b"2")).outcome is Rotation.UNKNOWN

    async def test_a_revocation_waits_to_be_marked(self) -> None:
        """Until somebody has told the edge; not for longer than it matters."""
        async with self.open() as stores:
            await opened(stores)
            now = stores.clock.now()
            await stores.sessions.revoke(b"1", now=now)
            since = now - timedelta(minutes=30)
            waiting = await stores.sessions.unmarked(since=since, limit=9)
            too_old = await stores.sessions.unmarked(since=now, limit=9)
            await stores.sessions.set_marked(waiting)

            assert waiting == [SESSION]
            assert too_old == []
            assert await stores.sessions.unmarked(since=since, limit=9) == []

    async def test_the_sessions_of_the_deleted_go(self) -> None:
        """As soon as the edge knows of their end; those it knew of, at once."""
        async with self.open() as stores:
            user = await opened(stores)
            now = stores.clock.now()
            known, since = SessionId("s2"), now - timedelta(minutes=30)
            await stores.sessions.open(
                known, user, token_hash=b"z", now=now, expires_at=now + LIFE
            )
            await stores.sessions.revoke(b"z", now=now)
            await stores.sessions.set_marked([known])
            await stores.standing.delete(user, who="user", edge_limit=9)
            waiting = await stores.sessions.unmarked(since=since, limit=9)
            left = await stores.pool.fetch("SELECT session_id FROM session")
            await stores.sessions.set_marked(waiting)

            assert waiting == [SESSION]
            assert [row[0] for row in left] == [SESSION]
            assert await stores.pool.fetchval("SELECT count(*) FROM session") == 0

    async def test_the_suspended_open_no_session(self) -> None:
        """A suspension ends the sessions there are, and there are no new ones."""
        async with self.open() as stores:
            user = await opened(stores)
            now = stores.clock.now()
            await stores.standing.suspend(user, who="admin", reason="", now=now)

            assert not await stores.sessions.open(
                SessionId("s2"), user, token_hash=b"z", now=now, expires_at=now + LIFE
            )
            assert (await rotate(stores, b"1", b"2")).outcome is Rotation.UNKNOWN

    async def test_expired_sessions_are_pruned(self) -> None:
        """With their tokens, no more than the limit at once."""
        async with self.open() as stores:
            await opened(stores)
            early = await stores.sessions.prune(now=stores.clock.now(), limit=9)
            stores.clock.advance(LIFE.total_seconds() + 1)

            assert early == 0
            assert await stores.sessions.prune(now=stores.clock.now(), limit=9) == 1
            assert await stores.pool.fetchval("SELECT count(*) FROM refresh_token") == 0

    async def test_openings_and_ends_are_audited(self) -> None:
        """One row each; a reuse says that it was one."""
        async with self.open() as stores:
            user = await opened(stores)
            await rotate(stores, b"1", b"2")
            await rotate(stores, b"1", b"x")

            assert await stores.audited() == [
                (f"user:{user}", "session.open", "OK"),
                (f"user:{user}", "session.reuse", "OK"),
            ]

    async def test_a_mark_of_a_person_only_grows(self) -> None:
        """A suspension told late does not revive a token that was voided since."""
        async with self.open() as stores:
            now = stores.clock.now()
            await stores.revocations.revoke_user(UserId(7), before=now)
            await stores.revocations.revoke_user(
                UserId(7), before=now - timedelta(hours=1)
            )
            await stores.revocations.revoke_session(SESSION)

            [mark, session] = await stores.valkey.read(["revu:7", f"rev:{SESSION}"])
            assert mark is not None
            assert int(mark) == int(now.timestamp()) + 1
            assert session is not None

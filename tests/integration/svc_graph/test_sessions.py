"""SessionService over real gRPC and real engines."""

from pathlib import Path

import orjson

from feedmesh.graph.v1 import graph_pb2, session_pb2

from chassis.auth import AccessTokens, Caller, Role, calling_as
from chassis.errors import NotFound, PermissionDenied, Unauthenticated
from chassis.testing import eventually, refuses
from chassis.valkey import open_valkey

from tests.support.graph import PASSWORD, GraphRoom, acting, graph_room

ADMIN = Caller(user_id=1, role=Role.ADMIN)


async def log_in(room: GraphRoom, user_id: int) -> session_pb2.Session:
    answer = await room.sessions.CreateSession(
        session_pb2.CreateSessionRequest(
            handle=(await room.handle_of(user_id)).upper(), password=PASSWORD
        )
    )
    return answer.session


async def refresh(room: GraphRoom, token: str) -> session_pb2.Session:
    answer = await room.sessions.RefreshSession(
        session_pb2.RefreshSessionRequest(refresh_token=token)
    )
    return answer.session


async def test_an_access_token_says_who_logged_in(tmp_path: Path) -> None:
    """Verified by the public keys alone, as every service does it."""
    async with graph_room(tmp_path) as room:
        ann = await room.sign_up()
        session = await log_in(room, ann)
        verified = AccessTokens(tmp_path).inspect(session.access_token)
        jwks = await room.sessions.GetJwks(session_pb2.GetJwksRequest())

        assert verified.caller.user_id == ann
        assert verified.caller.role is Role.USER
        assert verified.caller.session_id == session.session_id
        assert session.expires_in.seconds == 15 * 60
        published = orjson.loads((tmp_path / "jwks.json").read_bytes())["keys"]
        assert [(key.kid, key.x) for key in jwks.keys] == [
            (key["kid"], key["x"]) for key in published
        ]


async def test_a_wrong_handle_and_a_wrong_password_look_alike(tmp_path: Path) -> None:
    """Nor do people without a password log in."""
    async with graph_room(tmp_path) as room:
        handle = await room.handle_of(await room.sign_up())
        with calling_as(ADMIN):
            await room.graph.ImportUsers(
                graph_pb2.ImportUsersRequest(
                    users=[graph_pb2.ImportedUser(handle="imported")]
                )
            )
        refusals = []
        for name, password in (
            (handle, "not the password"),
            ("nobody", PASSWORD),
            ("imported", PASSWORD),
        ):
            try:
                await room.sessions.CreateSession(
                    session_pb2.CreateSessionRequest(handle=name, password=password)
                )
            except Unauthenticated as error:
                refusals.append((error.reason, error.message, error.metadata))

        assert refusals == [refusals[0]] * 3
        assert refusals[0][0] == "CREDENTIALS_INVALID"
        tried = "SELECT outcome FROM audit WHERE what = 'session.open'"
        outcomes = [row[0] for row in await room.pool.fetch(tried)]
        assert outcomes == ["CREDENTIALS_INVALID"] * 3


async def test_a_refresh_token_works_once(tmp_path: Path) -> None:
    """The second time ends the session for whoever holds the newest."""
    async with graph_room(tmp_path) as room:
        first = await log_in(room, await room.sign_up())
        second = await refresh(room, first.refresh_token)
        with refuses(Unauthenticated, "REFRESH_TOKEN_REUSED"):
            await refresh(room, first.refresh_token)
        with refuses(Unauthenticated, "REFRESH_TOKEN_INVALID"):
            await refresh(room, second.refresh_token)

        assert second.session_id == first.session_id
        assert second.refresh_token != first.refresh_token


async def test_refresh_tokens_are_not_in_the_database(tmp_path: Path) -> None:
    """Only their hashes are: who reads the table cannot log in with it."""
    async with graph_room(tmp_path) as room:
        session = await log_in(room, await room.sign_up())
        rows = await room.pool.fetch("SELECT token_hash FROM refresh_token")

        assert len(rows[0][0]) == 32
        assert session.refresh_token.encode() not in rows[0][0]


async def test_logging_out_voids_the_access_token(tmp_path: Path) -> None:
    """The edge finds the mark; an unknown token is no error."""
    async with (
        graph_room(tmp_path) as room,
        open_valkey(room.settings.valkey) as valkey,
    ):
        session = await log_in(room, await room.sign_up())
        for token in (session.refresh_token, session.refresh_token, "unknown"):
            await room.sessions.RevokeSession(
                session_pb2.RevokeSessionRequest(refresh_token=token)
            )

        [mark] = await valkey.read([f"rev:{session.session_id}"])
        assert mark is not None
        with refuses(Unauthenticated, "REFRESH_TOKEN_INVALID"):
            await refresh(room, session.refresh_token)


async def test_a_lost_mark_is_made_good(tmp_path: Path) -> None:
    """A revocation that Valkey did not hear of is told by the worker."""
    async with (
        graph_room(tmp_path) as room,
        open_valkey(room.settings.valkey) as valkey,
    ):
        session = await log_in(room, await room.sign_up())
        await room.pool.execute("UPDATE session SET revoked_at = now()")

        async def marked() -> None:
            [mark] = await valkey.read([f"rev:{session.session_id}"])
            assert mark is not None

        await eventually(marked)


async def test_issued_tokens_are_for_administrators(tmp_path: Path) -> None:
    """They say what they are, for how long, and are written down."""
    async with graph_room(tmp_path) as room:
        ann = await room.sign_up()
        handle = await room.handle_of(ann)
        request = graph_pb2.IssueTokenRequest(handle=handle, admin=True)
        with acting(ann), refuses(PermissionDenied, "AUDIENCE_DENIED"):
            await room.graph.IssueToken(request)
        with calling_as(ADMIN):
            admin = await room.graph.IssueToken(request)
            service = await room.graph.IssueToken(
                graph_pb2.IssueTokenRequest(handle="importer", service=True)
            )
            with refuses(NotFound, "USER_NOT_FOUND"):
                await room.graph.IssueToken(
                    graph_pb2.IssueTokenRequest(handle="nobody")
                )

        tokens = AccessTokens(tmp_path)
        assert tokens.verify(admin.access_token).role is Role.ADMIN
        assert tokens.verify(admin.access_token).user_id == ann == admin.user_id
        assert tokens.verify(service.access_token).service == "importer"
        assert service.user_id == 0
        assert admin.expires_in.seconds == 3600
        rows = await room.pool.fetch("SELECT what, target, outcome FROM audit")
        assert [tuple(row) for row in rows] == [
            ("token.issue.admin", handle, "OK"),
            ("token.issue.service", "importer", "OK"),
            ("token.issue.person", "nobody", "USER_NOT_FOUND"),
        ]

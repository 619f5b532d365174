"""SessionService RPCs: request in, domain call, response out."""

from typing import Any, TypeAlias

from grpc.aio import ServicerContext

from feedmesh.graph.v1 import session_pb2, session_pb2_grpc

from . import convert
from .ports import TokenSigner
from .sessions import Sessions

# Not used, and of any request and answer.
Context: TypeAlias = ServicerContext[Any, Any]


class SessionService(session_pb2_grpc.SessionServiceServicer):
    """Tokens of people."""

    def __init__(self, *, sessions: Sessions, signer: TokenSigner) -> None:
        self._sessions = sessions
        self._signer = signer

    async def CreateSession(
        self, request: session_pb2.CreateSessionRequest, context: Context
    ) -> session_pb2.CreateSessionResponse:
        tokens = await self._sessions.create(request.handle, request.password)
        return session_pb2.CreateSessionResponse(session=convert.tokens_to_pb(tokens))

    async def RefreshSession(
        self, request: session_pb2.RefreshSessionRequest, context: Context
    ) -> session_pb2.RefreshSessionResponse:
        tokens = await self._sessions.refresh(request.refresh_token)
        return session_pb2.RefreshSessionResponse(session=convert.tokens_to_pb(tokens))

    async def RevokeSession(
        self, request: session_pb2.RevokeSessionRequest, context: Context
    ) -> session_pb2.RevokeSessionResponse:
        await self._sessions.revoke(request.refresh_token)
        return session_pb2.RevokeSessionResponse()

    async def GetJwks(
        self, request: session_pb2.GetJwksRequest, context: Context
    ) -> session_pb2.GetJwksResponse:
        keys = map(convert.key_to_pb, self._signer.public_keys())
        return session_pb2.GetJwksResponse(keys=keys)

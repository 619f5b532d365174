"""UserService RPCs: request in, domain call, response out."""

from typing import Any, TypeAlias

from grpc.aio import ServicerContext

from feedmesh.graph.v1 import user_pb2, user_pb2_grpc

from chassis import auth

from . import convert
from .accounts import Accounts
from .model import UserId

# Not used, and of any request and answer.
Context: TypeAlias = ServicerContext[Any, Any]


class UserService(user_pb2_grpc.UserServiceServicer):
    """Accounts of people."""

    def __init__(self, *, accounts: Accounts) -> None:
        self._accounts = accounts

    async def CreateUser(
        self, request: user_pb2.CreateUserRequest, context: Context
    ) -> user_pb2.CreateUserResponse:
        user = await self._accounts.create(
            request.handle,
            display_name=request.display_name,
            password=request.password,
            request_id=request.request_id,
        )
        return user_pb2.CreateUserResponse(user=convert.user_to_pb(user))

    async def GetUser(
        self, request: user_pb2.GetUserRequest, context: Context
    ) -> user_pb2.GetUserResponse:
        profile = await self._accounts.get(UserId(request.user_id), reader=_reader())
        return user_pb2.GetUserResponse(
            user=convert.user_to_pb(profile.user),
            stats=convert.stats_to_pb(profile.stats),
        )

    async def BatchGetUsers(
        self, request: user_pb2.BatchGetUsersRequest, context: Context
    ) -> user_pb2.BatchGetUsersResponse:
        wanted = [UserId(user_id) for user_id in request.user_ids]
        found = await self._accounts.batch(wanted, reader=_reader())
        return user_pb2.BatchGetUsersResponse(
            users=[convert.user_to_pb(profile.user) for profile in found],
            stats=[convert.stats_to_pb(profile.stats) for profile in found],
        )

    async def LookupUser(
        self, request: user_pb2.LookupUserRequest, context: Context
    ) -> user_pb2.LookupUserResponse:
        profile = await self._accounts.lookup(request.handle, reader=_reader())
        return user_pb2.LookupUserResponse(
            user=convert.user_to_pb(profile.user),
            stats=convert.stats_to_pb(profile.stats),
        )

    async def UpdateUser(
        self, request: user_pb2.UpdateUserRequest, context: Context
    ) -> user_pb2.UpdateUserResponse:
        auth.caller().require(request.user.user_id)
        changed = await self._accounts.update(
            UserId(request.user.user_id),
            convert.profile_change_from_pb(request.user, request.update_mask),
            etag=request.user.etag,
        )
        return user_pb2.UpdateUserResponse(
            user=convert.user_to_pb(changed.user), graph_version=changed.version
        )

    async def SuspendUser(
        self, request: user_pb2.SuspendUserRequest, context: Context
    ) -> user_pb2.SuspendUserResponse:
        changed = await self._accounts.suspend(
            UserId(request.user_id),
            who=convert.actor_from(auth.caller()),
            reason=request.reason,
        )
        return user_pb2.SuspendUserResponse(
            user=convert.user_to_pb(changed.user), graph_version=changed.version
        )

    async def ReinstateUser(
        self, request: user_pb2.ReinstateUserRequest, context: Context
    ) -> user_pb2.ReinstateUserResponse:
        changed = await self._accounts.reinstate(
            UserId(request.user_id), who=convert.actor_from(auth.caller())
        )
        return user_pb2.ReinstateUserResponse(
            user=convert.user_to_pb(changed.user), graph_version=changed.version
        )

    async def DeleteUser(
        self, request: user_pb2.DeleteUserRequest, context: Context
    ) -> user_pb2.DeleteUserResponse:
        auth.caller().require(request.user_id)
        version = await self._accounts.delete(
            UserId(request.user_id), who=convert.actor_from(auth.caller())
        )
        return user_pb2.DeleteUserResponse(graph_version=version)


def _reader() -> UserId:
    return UserId(auth.caller().user_id)

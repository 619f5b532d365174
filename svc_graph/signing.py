"""Access tokens by the chassis, in the words of this room."""

from chassis.auth import AccessTokens, Role

from .model import PublicKey, SessionId, UserId


class AccessTokenSigner:
    """TokenSigner with the mesh's Ed25519 key."""

    def __init__(self, *, tokens: AccessTokens) -> None:
        self._tokens = tokens

    def for_person(
        self, user: UserId, *, session: SessionId, is_admin: bool, ttl: int
    ) -> str:
        role = Role.ADMIN if is_admin else Role.USER
        return self._tokens.issue(
            user_id=user, role=role, session_id=session, ttl=float(ttl)
        )

    def for_service(self, name: str, *, ttl: int) -> str:
        return self._tokens.issue(role=Role.SERVICE, service=name, ttl=float(ttl))

    def public_keys(self) -> list[PublicKey]:
        return [
            PublicKey(kid=key["kid"], x=key["x"]) for key in self._tokens.jwks()["keys"]
        ]

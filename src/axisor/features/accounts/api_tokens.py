"""Personal API tokens: for programs, with scopes, an end, and nothing of them stored but a hash."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import text

from axisor.domain.errors import NotAuthenticated, NotFound
from axisor.domain.units import UserId
from axisor.features.accounts.mail_texts import MailKind
from axisor.features.accounts.mails import Postbox
from axisor.features.accounts.permissions import Permission
from axisor.features.accounts.security_notes import note
from axisor.features.accounts.tokens import hash_of, new_opaque_token, owner_of
from axisor.infra.db.session import Database
from axisor.infra.ids import new_id
from axisor.ports.clock import Clock

PREFIX: Final = "axp_"
"""By this, scanners of secrets tell such a token."""
LONGEST_LIFE: Final = timedelta(days=365)
_USE_NOTED_EVERY: Final = timedelta(minutes=1)


class Scope(StrEnum):
    READ = "read"
    ALERTS = "alerts"
    TRADE = "trade"
    GUARD = "guard"
    WITHDRAW = "withdraw"
    """Never given unless it is asked for by name."""


DEFAULT_SCOPES: Final = (Scope.READ,)
SCOPES: Final[Mapping[Scope, frozenset[Permission]]] = {
    Scope.READ: frozenset({Permission.VIEW_MARKET, Permission.VIEW_ACCOUNTS, Permission.VIEW_INSTANCE}),
    Scope.ALERTS: frozenset({Permission.VIEW_MARKET, Permission.VIEW_INSTANCE}),
    Scope.TRADE: frozenset({Permission.VIEW_MARKET, Permission.VIEW_ACCOUNTS, Permission.TRADE}),
    Scope.GUARD: frozenset({Permission.VIEW_MARKET, Permission.VIEW_ACCOUNTS, Permission.CHANGE_GUARD}),
    Scope.WITHDRAW: frozenset({Permission.WITHDRAW}),
}
"""What a scope allows at most; the role of the token's owner bounds it further. Keys, people, profile: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    token_id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiToken:
    """The secret is shown this once."""

    token: ApiToken
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBearer:
    """Whom a token speaks for, and what it may do for them."""

    user_id: UserId
    token_id: str
    role: str
    permissions: frozenset[Permission]


class ApiTokens:
    """Makes, lists, revokes and recognises personal API tokens."""

    def __init__(self, database: Database, postbox: Postbox, clock: Clock) -> None:
        self._database = database
        self._postbox = postbox
        self._clock = clock

    async def create(self, user_id: UserId, *, name: str, scopes: tuple[Scope, ...], life: timedelta) -> NewApiToken:
        """Return a new token and its secret."""
        now = self._clock.now()
        secret = PREFIX + new_opaque_token(user_id)
        token = ApiToken(
            token_id=new_id(),
            name=name,
            scopes=tuple(dict.fromkeys(scopes)),
            created_at=now,
            expires_at=now + min(life, LONGEST_LIFE),
            last_used_at=None,
        )
        async with self._database.transaction(user_id=user_id) as connection:
            await connection.execute(
                text(
                    "insert into api_token (user_id, token_id, name, token_hash, scopes, created_at, expires_at) "
                    "values (:user, :id, :name, :hash, :scopes, :now, :expires)"
                ),
                {
                    "user": user_id,
                    "id": token.token_id,
                    "name": name,
                    "hash": hash_of(secret),
                    "scopes": [scope.value for scope in token.scopes],
                    "now": now,
                    "expires": token.expires_at,
                },
            )
            await note(
                connection,
                self._postbox,
                user_id,
                "api_token_created",
                now=now,
                data={"token_id": token.token_id, "name": name, "scopes": [scope.value for scope in token.scopes]},
                mail=MailKind.TOKEN_CREATED,
                name=name,
                scopes=", ".join(token.scopes),
            )
        return NewApiToken(token=token, secret=secret)

    async def list_tokens(self, user_id: UserId) -> list[ApiToken]:
        """Return the tokens that were not revoked, the newest first; ended ones among them."""
        async with self._database.transaction(user_id=user_id) as connection:
            rows = await connection.execute(
                text(
                    "select token_id, name, scopes, created_at, expires_at, last_used_at from api_token "
                    "where user_id = :user and revoked_at is null order by created_at desc"
                ),
                {"user": user_id},
            )
            return [
                ApiToken(
                    token_id=str(row.token_id),
                    name=row.name,
                    scopes=tuple(Scope(each) for each in row.scopes),
                    created_at=row.created_at,
                    expires_at=row.expires_at,
                    last_used_at=row.last_used_at,
                )
                for row in rows
            ]

    async def revoke(self, user_id: UserId, token_id: str) -> None:
        """End a token at once.

        Raises:
            NotFound: there is none with this id.
        """
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            gone = await connection.execute(
                text(
                    "update api_token set revoked_at = :now where user_id = :user and token_id = :id "
                    "and revoked_at is null"
                ),
                {"user": user_id, "id": token_id, "now": now},
            )
            if gone.rowcount == 0:
                raise NotFound("API token", token_id)
            await note(connection, self._postbox, user_id, "api_token_revoked", now=now, data={"token_id": token_id})

    async def admit(self, secret: str) -> TokenBearer:
        """Return whom a token speaks for now.

        Raises:
            NotAuthenticated: it is unknown, revoked or ended, or its owner may no longer sign in.
        """
        user_id = owner_of(secret.removeprefix(PREFIX))
        if user_id is None:
            raise NotAuthenticated("this API token is not valid")
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            row = (
                await connection.execute(
                    text(
                        "select t.token_id, t.scopes, t.last_used_at, u.role from api_token t join app_user u "
                        "on u.user_id = t.user_id where t.user_id = :user and t.token_hash = :hash "
                        "and t.revoked_at is null and t.expires_at > :now and u.disabled_at is null"
                    ),
                    {"user": user_id, "hash": hash_of(secret), "now": now},
                )
            ).one_or_none()
            if row is None:
                raise NotAuthenticated("this API token is not valid")
            if row.last_used_at is None or now - row.last_used_at > _USE_NOTED_EVERY:
                await connection.execute(
                    text("update api_token set last_used_at = :now where user_id = :user and token_id = :id"),
                    {"user": user_id, "id": row.token_id, "now": now},
                )
        return TokenBearer(
            user_id=user_id,
            token_id=str(row.token_id),
            role=row.role,
            permissions=frozenset().union(*(SCOPES[Scope(each)] for each in row.scopes)),
        )

"""Access tokens (JWT, EdDSA) and the opaque tokens of links, sessions and tickets."""

import base64
import binascii
import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from axisor.domain.errors import NotAuthenticated, SessionExpired
from axisor.domain.units import UserId

ISSUER: Final = "axisor"
AUDIENCE: Final = "axisor-api"
ACCESS_LIFE: Final = timedelta(minutes=10)
ALGORITHM: Final = "Ed25519"
TOKEN_TYPE: Final = "at+jwt"  # noqa: S105 - RFC 9068's name of the kind, no secret
KEY_LIFE: Final = timedelta(days=7)
CLOCK_SKEW: Final = timedelta(seconds=60)
_MOST_KEYS: Final = 64
_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessClaims:
    """Who an access token speaks for; what they may do is looked up, for it may have changed since."""

    user_id: UserId
    family_id: str
    expires_at: datetime


class AccessTokens:
    """Signs access tokens with the Ed25519 key of the present week, and reads those of the weeks beside it.

    Every replica derives the same keys from the installation's secret: nothing is stored, nobody has to agree. A key
    is known a week before it signs and a week after. `previous` are secrets that no longer sign: their tokens end.
    """

    def __init__(self, secret: bytes, *, previous: tuple[bytes, ...] = ()) -> None:
        self._secrets = (secret, *previous)
        self._claims = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            sub={"essential": True},
            exp={"essential": True},
        )
        self._keys: dict[tuple[bytes, int], tuple[str, OKPKey]] = {}

    def issue(self, *, user_id: UserId, family_id: str, now: datetime) -> tuple[str, datetime]:
        """Return a token that speaks for a user for ten minutes, and the instant of its end."""
        expires_at = (now + ACCESS_LIFE).replace(microsecond=0)
        key_id, key = self._key(self._secrets[0], _generation(now))
        header = {"alg": ALGORITHM, "kid": key_id, "typ": TOKEN_TYPE}
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "sid": family_id,
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        return jwt.encode(header, claims, key, algorithms=[ALGORITHM]), expires_at

    def read(self, token: str, *, now: datetime) -> AccessClaims:
        """Return what a token says, once its signature, key, type, audience, issuer and time were checked.

        Raises:
            SessionExpired: it is past its time.
            NotAuthenticated: anything else is wrong with it.
        """
        key = self._known_keys(now).get(_key_id_in(token))
        if key is None:
            raise NotAuthenticated("the access token is not one of ours")
        try:
            claims: dict[str, Any] = jwt.decode(token, key, algorithms=[ALGORITHM]).claims
            # Time is checked below, by our clock.
            self._claims.validate({**claims, "exp": 2**40, "iat": 0})
            expires_at = datetime.fromtimestamp(int(claims["exp"]), tz=UTC)
            issued_at = datetime.fromtimestamp(int(claims["iat"]), tz=UTC)
            user_id, family_id = str(uuid.UUID(claims["sub"])), str(uuid.UUID(claims["sid"]))
        except (JoseError, ValueError, KeyError, TypeError, OverflowError, AttributeError) as error:
            raise NotAuthenticated("the access token is not valid") from error
        if issued_at > now + CLOCK_SKEW:
            raise NotAuthenticated("the access token is not valid yet")
        if now >= expires_at:
            raise SessionExpired("the access token has expired")
        return AccessClaims(user_id=UserId(user_id), family_id=family_id, expires_at=expires_at)

    def public_keys(self, *, now: datetime) -> list[dict[str, Any]]:
        """Return the public halves of the keys that sign now, did last week and will next week (RFC 7517)."""
        return [
            {**key.as_dict(private=False), "kid": key_id, "use": "sig", "alg": ALGORITHM}
            for key_id, key in self._known_keys(now).items()
        ]

    def _known_keys(self, now: datetime) -> dict[str, OKPKey]:
        present = _generation(now)
        return dict(
            self._key(secret, generation)
            for secret in self._secrets
            for generation in (present, present - 1, present + 1)
        )

    def _key(self, secret: bytes, generation: int) -> tuple[str, OKPKey]:
        known = self._keys.get((secret, generation))
        if known is not None:
            return known
        info = b"axisor access token|%d" % generation
        seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)
        key = OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(seed))
        if len(self._keys) >= _MOST_KEYS:
            self._keys.clear()
        self._keys[secret, generation] = key.thumbprint(), key
        return self._keys[secret, generation]


def _generation(now: datetime) -> int:
    return int(now.timestamp()) // int(KEY_LIFE.total_seconds())


def _key_id_in(token: str) -> str:
    """Return the key that a token names; an empty text where its head is not exactly such as ours.

    A head with anything else in it (`jwk`, `jku`, `x5u`, `crit`) is refused before any of it is looked at.
    """
    try:
        head = msgspec.json.decode(_decode_base64(token.partition(".")[0]), type=_Head)
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        return ""
    return head.kid if (head.alg, head.typ) == (ALGORITHM, TOKEN_TYPE) else ""


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    alg: str
    kid: str
    typ: str


def _decode_base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def new_opaque_token(user_id: UserId) -> str:
    """Return a secret of 256 bits that carries its owner's id in front, for URLs and cookies."""
    return base64.urlsafe_b64encode(uuid.UUID(user_id).bytes + secrets.token_bytes(_SECRET_BYTES)).decode().rstrip("=")


def owner_of(token: str) -> UserId | None:
    """Return the user that an opaque token names, None for what is no such token; proves nothing."""
    try:
        raw = _decode_base64(token)
    except (binascii.Error, ValueError):
        return None
    return UserId(str(uuid.UUID(bytes=raw[:_ID_BYTES]))) if len(raw) == _ID_BYTES + _SECRET_BYTES else None


def hash_of(token: str) -> bytes:
    """Return what is stored of an opaque token; its 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).digest()

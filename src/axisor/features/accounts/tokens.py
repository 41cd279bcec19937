"""Access tokens (JWT, EdDSA) and the opaque tokens of links, sessions and tickets."""

import base64
import binascii
import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

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
_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessClaims:
    """Who an access token speaks for; what they may do is looked up, for it may have changed since."""

    user_id: UserId
    family_id: str
    expires_at: datetime


class AccessTokens:
    """Signs and checks access tokens with one Ed25519 key, derived from the installation's secret."""

    def __init__(self, secret: bytes) -> None:
        seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"axisor access token").derive(secret)
        self._key = OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(seed))
        self._key_id = self._key.thumbprint()
        self._claims = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            sub={"essential": True},
            exp={"essential": True},
        )

    def issue(self, *, user_id: UserId, family_id: str, now: datetime) -> tuple[str, datetime]:
        """Return a token that speaks for a user for ten minutes, and the instant of its end."""
        expires_at = (now + ACCESS_LIFE).replace(microsecond=0)
        header = {"alg": ALGORITHM, "kid": self._key_id, "typ": "at+jwt"}
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "sid": family_id,
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        return jwt.encode(header, claims, self._key, algorithms=[ALGORITHM]), expires_at

    def read(self, token: str, *, now: datetime) -> AccessClaims:
        """Return what a token says, once its signature, key, type, audience, issuer and time were checked.

        Raises:
            SessionExpired: it is past its time.
            NotAuthenticated: anything else is wrong with it.
        """
        try:
            decoded = jwt.decode(token, self._key, algorithms=[ALGORITHM])
            claims: dict[str, Any] = decoded.claims
            if decoded.header.get("kid") != self._key_id or decoded.header.get("typ") != "at+jwt":
                raise NotAuthenticated("the access token is not one of ours")
            # Time is checked below, by our clock.
            self._claims.validate({**claims, "exp": 2**40, "iat": 0})
            expires_at = datetime.fromtimestamp(int(claims["exp"]), tz=UTC)
            user_id, family_id = str(uuid.UUID(claims["sub"])), str(uuid.UUID(claims["sid"]))
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise NotAuthenticated("the access token is not valid") from error
        if now >= expires_at:
            raise SessionExpired("the access token has expired")
        return AccessClaims(user_id=UserId(user_id), family_id=family_id, expires_at=expires_at)


def new_opaque_token(user_id: UserId) -> str:
    """Return a secret of 256 bits that carries its owner's id in front, for URLs and cookies."""
    return base64.urlsafe_b64encode(uuid.UUID(user_id).bytes + secrets.token_bytes(_SECRET_BYTES)).decode().rstrip("=")


def owner_of(token: str) -> UserId | None:
    """Return the user that an opaque token names, None for what is no such token; proves nothing."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return UserId(str(uuid.UUID(bytes=raw[:_ID_BYTES]))) if len(raw) == _ID_BYTES + _SECRET_BYTES else None


def hash_of(token: str) -> bytes:
    """Return what is stored of an opaque token; its 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).digest()

"""Signing in with a Lightning wallet (LNURL-auth, LUD-04).

The page shows a QR code with a random `k1`; the wallet signs it with a key that it derives for this site alone, and
calls back; the page, which alone knows the challenge's secret, then gets its session.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from axisor.domain.errors import NotFound
from axisor.domain.units import UserId
from axisor.features.accounts import factor_repository as factors
from axisor.features.accounts.challenges import LIFE, Challenge, ChallengeKind, Challenges
from axisor.features.accounts.errors import FactorExists, WalletPending, WrongCode
from axisor.features.accounts.mail_texts import MailKind
from axisor.features.accounts.mails import Postbox
from axisor.features.accounts.security_notes import note
from axisor.infra.db.session import Database
from axisor.infra.lightning.bech32 import Checksum, encode, groups_of
from axisor.infra.valkey import Valkey
from axisor.ports.clock import Clock

CALLBACK_PATH: Final = "/api/v1/auth/wallet/callback"
_K1_BYTES: Final = 32
_COMPRESSED_BYTES: Final = 33
_LONGEST_SIGNATURE: Final = 72


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletRequest:
    """`lnurl` is what the QR code shows; `challenge` stays in the page."""

    challenge: str = field(repr=False)
    lnurl: str
    url: str
    expires_at: datetime


class Wallets:
    """Asks wallets for signatures, and links and recognises their keys."""

    def __init__(
        self,
        database: Database,
        valkey: Valkey,
        challenges: Challenges,
        postbox: Postbox,
        *,
        public_url: str,
        clock: Clock,
    ) -> None:
        self._database = database
        self._valkey = valkey
        self._challenges = challenges
        self._postbox = postbox
        self._public_url = public_url
        self._clock = clock

    async def begin(self, *, user_id: UserId | None = None, name: str = "") -> WalletRequest:
        """Return a request to sign: to sign in, or to link a wallet to a person."""
        k1 = secrets.token_bytes(_K1_BYTES)
        challenge = await self._challenges.issue(ChallengeKind.WALLET, Challenge(user_id=user_id, nonce=k1, name=name))
        await self._valkey.set(_waiting(k1), "", ex=LIFE)
        action = "login" if user_id is None else "link"
        url = f"{self._public_url}{CALLBACK_PATH}?" + urlencode({"tag": "login", "k1": k1.hex(), "action": action})
        lnurl = encode("lnurl", groups_of(url.encode()), Checksum.BECH32).upper()
        return WalletRequest(challenge=challenge, lnurl=lnurl, url=url, expires_at=self._clock.now() + LIFE)

    async def take_signature(self, *, k1: str, signature: str, key: str) -> None:
        """Take what a wallet says: that the key signed a `k1` of ours, once.

        Raises:
            WrongCode: the signature is not that key's, or nobody waits for this `k1`.
        """
        try:
            nonce, linking_key = bytes.fromhex(k1), bytes.fromhex(key)
            is_signed = _is_signed(nonce, bytes.fromhex(signature), linking_key)
        except ValueError as error:
            raise WrongCode("k1, sig and key are hexadecimal") from error
        if not is_signed:
            raise WrongCode("this is no signature of k1 by this key")
        # `xx` and the empty value before: a k1 is signed once, by whoever comes first.
        waited = await self._valkey.set(_waiting(nonce), linking_key.hex(), xx=True, get=True, ex=LIFE)
        if waited is None:
            raise WrongCode("nobody waits for this k1: show a new code")
        if waited not in {"", linking_key.hex()}:
            await self._valkey.delete(_waiting(nonce))
            raise WrongCode("this k1 was signed already")

    async def finish_sign_in(self, challenge: str) -> UserId:
        """Return whose wallet signed.

        Raises:
            WalletPending: it has not signed yet.
            WrongCode: the request is too old, or the wallet is linked to nobody.
        """
        linking_key = await self._signed_key(challenge, of=None)
        async with self._database.transaction() as connection:
            owner = await factors.find_owner_of_wallet(connection, linking_key)
        if owner is None:
            raise WrongCode("this wallet is linked to no account: sign in another way and link it")
        async with self._database.transaction(user_id=owner) as connection:
            await factors.use_wallet(connection, owner, linking_key, now=self._clock.now())
        return owner

    async def finish_link(self, user_id: UserId, challenge: str) -> None:
        """Link the wallet that signed.

        Raises:
            WalletPending: it has not signed yet.
            FactorExists: it is linked already.
        """
        name = (await self._challenges.get(ChallengeKind.WALLET, challenge)).name
        linking_key = await self._signed_key(challenge, of=user_id)
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            if not await factors.insert_wallet(connection, user_id, linking_key=linking_key, name=name, now=now):
                raise FactorExists("this wallet is linked to an account already")
            await note(
                connection,
                self._postbox,
                user_id,
                "factor_added",
                now=now,
                data={"factor": "wallet", "name": name},
                mail=MailKind.FACTOR_ADDED,
                factor=f"Lightning wallet {name}",
            )

    async def remove(self, user_id: UserId, linking_key: str) -> None:
        """Unlink a wallet.

        Raises:
            NotFound: none with this key is linked.
        """
        try:
            raw = bytes.fromhex(linking_key)
        except ValueError:
            raw = b""
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            name = await factors.delete_wallet(connection, user_id, raw)
            if name is None:
                raise NotFound("wallet", linking_key)
            await note(
                connection,
                self._postbox,
                user_id,
                "factor_removed",
                now=now,
                data={"factor": "wallet", "name": name},
                mail=MailKind.FACTOR_REMOVED,
                factor=f"Lightning wallet {name}",
            )

    async def _signed_key(self, challenge: str, *, of: UserId | None) -> bytes:
        asked = await self._challenges.get(ChallengeKind.WALLET, challenge)
        if asked.user_id != of:
            raise WrongCode("this request is for something else")
        signed = await self._valkey.get(_waiting(asked.nonce))
        if signed is None:
            raise WrongCode("this took too long: show a new code")
        if not signed:
            raise WalletPending("the wallet has not signed yet")
        await self._challenges.take(ChallengeKind.WALLET, challenge)
        await self._valkey.delete(_waiting(asked.nonce))
        return bytes.fromhex(signed)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackAnswer:
    """What a wallet is answered (LUD-04): `OK`, or `ERROR` and why."""

    status: str
    reason: str = ""


def _is_signed(nonce: bytes, signature: bytes, linking_key: bytes) -> bool:
    """Return whether a compressed secp256k1 key signed a nonce of 32 bytes, which is taken as the digest itself."""
    if len(nonce) != _K1_BYTES or len(linking_key) != _COMPRESSED_BYTES or len(signature) > _LONGEST_SIGNATURE:
        return False
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), linking_key)
    try:
        key.verify(signature, nonce, ec.ECDSA(Prehashed(SHA256())))
    except InvalidSignature:
        return False
    return True


def _waiting(nonce: bytes) -> str:
    return f"axisor:accounts:wallet:{nonce.hex()}"

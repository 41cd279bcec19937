"""Passkeys (WebAuthn): as a second factor, or alone where the device has verified its user."""

import binascii
import json
import uuid
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import webauthn
from cbor2 import CBORDecodeError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from axisor.domain.errors import NotFound
from axisor.domain.units import UserId
from axisor.features.accounts import factor_repository as factors
from axisor.features.accounts import repository
from axisor.features.accounts.challenges import Challenge, ChallengeKind, Challenges
from axisor.features.accounts.errors import FactorExists, WrongCode
from axisor.features.accounts.mail_texts import MailKind
from axisor.features.accounts.mails import Postbox
from axisor.features.accounts.security_notes import note
from axisor.infra.db.session import Database
from axisor.ports.clock import Clock

_TIMEOUT_MS: Final = 300_000
_UNREADABLE: Final = (WebAuthnException, CBORDecodeError, binascii.Error, ValueError, KeyError, TypeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyOptions:
    """What `navigator.credentials` is given, and the secret with which its answer comes back."""

    challenge: str
    options: dict[str, Any]


class Passkeys:
    """Registers passkeys and checks what they sign, for one origin."""

    def __init__(
        self, database: Database, challenges: Challenges, postbox: Postbox, *, public_url: str, clock: Clock
    ) -> None:
        self._database = database
        self._challenges = challenges
        self._postbox = postbox
        self._origin = public_url
        self._site = urlsplit(public_url).hostname or "localhost"
        self._clock = clock

    async def begin_registration(self, user_id: UserId, *, name: str) -> PasskeyOptions:
        """Return how a new passkey is made; the authenticators that are there already are left out."""
        async with self._database.transaction(user_id=user_id) as connection:
            user = await repository.find_user(connection, user_id)
            known = await factors.list_passkeys(connection, user_id)
        if user is None:
            raise NotFound("user", user_id)
        options = webauthn.generate_registration_options(
            rp_id=self._site,
            rp_name="Axisor",
            user_name=user.email or user.display_name,
            user_display_name=user.display_name,
            user_id=uuid.UUID(user_id).bytes,
            timeout=_TIMEOUT_MS,
            exclude_credentials=[PublicKeyCredentialDescriptor(id=each.credential_id) for each in known],
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.PREFERRED
            ),
        )
        challenge = await self._challenges.issue(
            ChallengeKind.NEW_PASSKEY, Challenge(user_id=user_id, nonce=options.challenge, name=name)
        )
        return PasskeyOptions(challenge=challenge, options=json.loads(webauthn.options_to_json(options)))

    async def register(self, user_id: UserId, *, challenge: str, credential: dict[str, Any]) -> None:
        """Store the passkey that answers a registration.

        Raises:
            WrongCode: the answer is not one to this challenge, from this site.
            FactorExists: the passkey is registered already.
        """
        asked = await self._challenges.take(ChallengeKind.NEW_PASSKEY, challenge)
        if asked.user_id != user_id:
            raise WrongCode("this challenge is another person's")
        try:
            made = webauthn.verify_registration_response(
                credential=credential,
                expected_challenge=asked.nonce,
                expected_rp_id=self._site,
                expected_origin=self._origin,
            )
        except _UNREADABLE as error:
            raise WrongCode("the passkey could not be verified") from error
        now = self._clock.now()
        passkey = factors.Passkey(
            credential_id=made.credential_id,
            public_key=made.credential_public_key,
            sign_count=made.sign_count,
            name=asked.name,
            created_at=now,
            last_used_at=None,
        )
        try:
            async with self._database.transaction(user_id=user_id) as connection:
                await factors.insert_passkey(connection, user_id, passkey)
                await note(
                    connection,
                    self._postbox,
                    user_id,
                    "factor_added",
                    now=now,
                    data={"factor": "passkey", "name": asked.name},
                    mail=MailKind.FACTOR_ADDED,
                    factor=f"passkey {asked.name}",
                )
        except IntegrityError as error:
            raise FactorExists("this passkey is registered already") from error

    async def begin_use(self) -> PasskeyOptions:
        """Return what any passkey of this site may sign; says nothing of whether anybody has one."""
        options = webauthn.generate_authentication_options(
            rp_id=self._site, timeout=_TIMEOUT_MS, user_verification=UserVerificationRequirement.PREFERRED
        )
        challenge = await self._challenges.issue(ChallengeKind.PASSKEY, Challenge(nonce=options.challenge))
        return PasskeyOptions(challenge=challenge, options=json.loads(webauthn.options_to_json(options)))

    async def use(
        self, *, challenge: str, credential: dict[str, Any], of: UserId | None = None, is_alone: bool
    ) -> UserId:
        """Return whose passkey signed a challenge.

        Args:
            of: The person whose passkey it must be; without it the passkey names its owner.
            is_alone: No other factor is proved: the device must have verified its user.

        Raises:
            WrongCode: the signature, the site or the person is another, or a copy of the passkey was used.
        """
        asked = await self._challenges.take(ChallengeKind.PASSKEY, challenge)
        owner = of if of is not None else _owner_in(credential)
        async with self._database.transaction(user_id=owner) as connection:
            await self._check(connection, owner, asked, credential, is_alone=is_alone)
        return owner

    async def _check(
        self,
        connection: AsyncConnection,
        owner: UserId,
        asked: Challenge,
        credential: dict[str, Any],
        *,
        is_alone: bool,
    ) -> None:
        try:
            passkey = await factors.lock_passkey(connection, owner, webauthn.base64url_to_bytes(credential["id"]))
            if passkey is None:
                raise WrongCode("this passkey is not registered")
            proved = webauthn.verify_authentication_response(
                credential=credential,
                expected_challenge=asked.nonce,
                expected_rp_id=self._site,
                expected_origin=self._origin,
                credential_public_key=passkey.public_key,
                credential_current_sign_count=passkey.sign_count,
                require_user_verification=is_alone,
            )
        except _UNREADABLE as error:
            raise WrongCode("the passkey could not be verified") from error
        await factors.use_passkey(
            connection, owner, passkey.credential_id, sign_count=proved.new_sign_count, now=self._clock.now()
        )

    async def remove(self, user_id: UserId, credential_id: str) -> None:
        """Remove a passkey.

        Raises:
            NotFound: there is none with this id.
        """
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            try:
                raw = webauthn.base64url_to_bytes(credential_id)
            except (binascii.Error, ValueError):
                raw = b""
            name = await factors.delete_passkey(connection, user_id, raw)
            if name is None:
                raise NotFound("passkey", credential_id)
            if not await factors.list_methods(connection, user_id):
                await factors.delete_recovery_codes(connection, user_id)
            await note(
                connection,
                self._postbox,
                user_id,
                "factor_removed",
                now=now,
                data={"factor": "passkey", "name": name},
                mail=MailKind.FACTOR_REMOVED,
                factor=f"passkey {name}",
            )


def _owner_in(credential: dict[str, Any]) -> UserId:
    """Return whom a passkey names as its owner; its signature is checked against that person's keys."""
    try:
        return UserId(str(uuid.UUID(bytes=webauthn.base64url_to_bytes(credential["response"]["userHandle"]))))
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WrongCode("this passkey names nobody: sign in with your password first") from error

"""Proving a second factor: to finish signing in, and to prove once more who one is before something dangerous."""

from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from axisor.domain.errors import NotAuthenticated
from axisor.domain.units import UserId
from axisor.features.accounts import factor_repository as factors
from axisor.features.accounts import repository
from axisor.features.accounts.challenges import ChallengeKind, Challenges
from axisor.features.accounts.errors import WrongCode, WrongCredentials
from axisor.features.accounts.factor_gate import FactorGate
from axisor.features.accounts.factors.passkeys import Passkeys
from axisor.features.accounts.factors.totp import Totp, hash_of_recovery
from axisor.features.accounts.mail_texts import MailKind
from axisor.features.accounts.mails import Postbox
from axisor.features.accounts.passwords import Passwords
from axisor.features.accounts.security_notes import note
from axisor.features.accounts.service import AccountsService, SignedIn
from axisor.features.accounts.visits import Visit
from axisor.infra.db.session import Database
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

_PASSKEY_METHOD: Final = "passkey"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What somebody presents; one of them."""

    code: str | None = field(default=None, repr=False)
    recovery_code: str | None = field(default=None, repr=False)
    passkey_challenge: str | None = field(default=None, repr=False)
    passkey: dict[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactor:
    """Checks proofs."""

    database: Database
    accounts: AccountsService
    gate: FactorGate
    challenges: Challenges
    totp: Totp
    passkeys: Passkeys
    passwords: Passwords
    postbox: Postbox
    clock: Clock

    async def finish_sign_in(self, challenge: str, proof: Proof, *, visit: Visit) -> SignedIn:
        """Return the session of somebody whose first factor was proved, by their second.

        Raises:
            WrongCode: the proof is wrong, or signing in took too long.
            ChallengeLocked: ten proofs were wrong.
        """
        asked = await self.challenges.get(ChallengeKind.SECOND_FACTOR, challenge)
        if asked.user_id is None:
            raise WrongCode("begin again")
        method = await self._check(asked.user_id, proof)
        await self.challenges.take(ChallengeKind.SECOND_FACTOR, challenge)
        user = await self.accounts.get_user(asked.user_id)
        return await self.accounts.begin(user, method=f"{asked.method}, {method}", visit=visit)

    async def sign_in_with_passkey(self, *, challenge: str, credential: dict[str, Any], visit: Visit) -> SignedIn:
        """Return the session of somebody whose passkey has verified them: it is two factors in one."""
        owner = await self.passkeys.use(challenge=challenge, credential=credential, is_alone=True)
        user = await self.accounts.get_user(owner)
        return await self.accounts.begin(user, method=_PASSKEY_METHOD, visit=visit)

    async def reauthenticate(self, token: str, *, password: str | None, proof: Proof, visit: Visit) -> SignedIn:
        """Return the next session of a family whose person has just proved who they are; its tokens are new.

        Whoever has a second factor proves that; whoever has none gives the password.

        Raises:
            NotAuthenticated: there is no live session.
            WrongCode, WrongCredentials: the proof is wrong.
        """
        user_id = await self.accounts.find_user_of_token(token)
        if user_id is None:
            # A token that was used before is told apart where sessions are continued: its family ends there.
            return await self.accounts.refresh(token, visit=visit)
        if await self.gate.methods_of(user_id):
            await self._check(user_id, proof)
        else:
            await self._check_password(user_id, password)
        return await self.accounts.refresh(token, visit=visit, is_strong=True)

    async def _check_password(self, user_id: UserId, password: str | None) -> None:
        await self.challenges.count(user_id)
        async with self.database.transaction(user_id=user_id) as connection:
            stored = await repository.find_password_hash(connection, user_id)
        if not await self.passwords.matches(password or "", stored):
            raise WrongCredentials("the password is another")
        await self.challenges.forgive(user_id)

    async def _check(self, user_id: UserId, proof: Proof) -> str:
        """Return by what somebody proved their second factor."""
        await self.challenges.count(user_id)
        method = await self._prove(user_id, proof)
        if method is None:
            log.info("second_factor_refused", user_id=user_id)
            raise WrongCode("this is not right, or was used already")
        await self.challenges.forgive(user_id)
        return method

    async def _prove(self, user_id: UserId, proof: Proof) -> str | None:
        match proof:
            case Proof(code=str(code)):
                async with self.database.transaction(user_id=user_id) as connection:
                    return "totp" if await self.totp.use(connection, user_id, code) else None
            case Proof(recovery_code=str(code)):
                return "recovery code" if await self._use_recovery(user_id, code) else None
            case Proof(passkey_challenge=str(challenge), passkey=dict(credential)):
                await self.passkeys.use(challenge=challenge, credential=credential, of=user_id, is_alone=False)
                return _PASSKEY_METHOD
            case _:
                return None

    async def _use_recovery(self, user_id: UserId, code: str) -> bool:
        now = self.clock.now()
        async with self.database.transaction(user_id=user_id) as connection:
            code_hash = hash_of_recovery(user_id, code)
            if not await factors.list_methods(connection, user_id):
                raise NotAuthenticated("there is no second factor")
            if not await factors.use_recovery_code(connection, user_id, code_hash=code_hash, now=now):
                return False
            left = await factors.count_recovery_codes(connection, user_id)
            await note(
                connection,
                self.postbox,
                user_id,
                "recovery_code_used",
                now=now,
                data={"left": left},
                mail=MailKind.RECOVERY_USED,
                left=str(left),
            )
        return True

"""The devices of a person: which are signed in, ending them, and how fresh the proof of each is."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from axisor.domain.errors import NotFound
from axisor.domain.units import UserId
from axisor.features.accounts import device_repository as stored
from axisor.features.accounts import factor_repository as factors
from axisor.features.accounts.device_repository import DeviceSession
from axisor.features.accounts.errors import ReauthRequired
from axisor.features.accounts.factor_gate import FactorGate
from axisor.features.accounts.factor_repository import Passkey, WalletKey
from axisor.features.accounts.factors.totp import new_recovery_codes
from axisor.features.accounts.mails import Postbox
from axisor.features.accounts.security_notes import note
from axisor.infra.db.session import Database
from axisor.ports.clock import Clock

STRONG_FOR: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaysIn:
    """How a person can sign in, and how many recovery codes are left."""

    has_totp: bool
    passkeys: list[Passkey]
    wallets: list[WalletKey]
    recovery_codes_left: int


class Devices:
    """Use cases of the security page."""

    def __init__(self, database: Database, postbox: Postbox, gate: FactorGate, clock: Clock) -> None:
        self._database = database
        self._postbox = postbox
        self._gate = gate
        self._clock = clock

    async def list_devices(self, user_id: UserId) -> list[DeviceSession]:
        """Return the devices that are signed in, the last seen first."""
        async with self._database.transaction(user_id=user_id) as connection:
            return await stored.list_devices(connection, user_id=user_id, now=self._clock.now())

    async def end(self, user_id: UserId, family_id: str) -> None:
        """Sign a device out: its requests fail within 2 s, its streams close within 5 s.

        Raises:
            NotFound: no such device is signed in.
        """
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            if not await stored.end_devices(connection, user_id=user_id, only=family_id, now=now):
                raise NotFound("device", family_id)
            await note(connection, self._postbox, user_id, "device_ended", now=now, data={"device_id": family_id})

    async def end_others(self, user_id: UserId, family_id: str) -> int:
        """Sign every other device out, make all of them strangers, and return how many were signed in."""
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            ended = await stored.end_devices(connection, user_id=user_id, keep=family_id, now=now)
            await stored.forget_known_devices(connection, user_id=user_id)
            await note(connection, self._postbox, user_id, "devices_ended", now=now, data={"count": len(ended)})
        return len(ended)

    async def check_recent_proof(self, user_id: UserId, family_id: str) -> None:
        """Return nothing where the person proved who they are within the last ten minutes.

        Raises:
            ReauthRequired: they did not; the context says by what they can.
        """
        async with self._database.transaction(user_id=user_id) as connection:
            device = await stored.find_device(connection, user_id=user_id, family_id=family_id)
        strong_at: datetime | None = None if device is None else device.strong_at
        if strong_at is not None and self._clock.now() - strong_at <= STRONG_FOR:
            return
        methods = await self._gate.methods_of(user_id) or ("password",)
        raise ReauthRequired("prove once more who you are", methods=list(methods))

    async def ways_in(self, user_id: UserId) -> WaysIn:
        """Return the second factors, passkeys and wallets of a person."""
        async with self._database.transaction(user_id=user_id) as connection:
            return WaysIn(
                has_totp="totp" in await factors.list_methods(connection, user_id),
                passkeys=await factors.list_passkeys(connection, user_id),
                wallets=await factors.list_wallets(connection, user_id),
                recovery_codes_left=await factors.count_recovery_codes(connection, user_id),
            )

    async def new_recovery_codes(self, user_id: UserId) -> tuple[str, ...]:
        """Return new recovery codes, shown this once.

        Raises:
            NotFound: there is no second factor that they could stand in for.
        """
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            if not await factors.list_methods(connection, user_id):
                raise NotFound("second factor", "of yours")
            codes = await new_recovery_codes(connection, user_id, now=now)
            await note(connection, self._postbox, user_id, "recovery_codes_made", now=now)
        return codes

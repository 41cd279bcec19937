"""What Valkey remembers for a short while: failed sign-ins, and tickets of the stream."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from axisor.domain.units import UserId
from axisor.features.accounts.errors import TooManyAttempts
from axisor.infra.valkey import Valkey

FREE_ATTEMPTS: Final = 5
LONGEST_WAIT_S: Final = 60
FREE_ATTEMPTS_EVERYWHERE: Final = 100
STRANGERS_WAIT_S: Final = 30
_MEMORY_S: Final = 900
_ACCOUNT_MEMORY_S: Final = 3600
TICKET_LIFE: Final = timedelta(seconds=30)


class LoginThrottle:
    """Makes repeated failures wait, per source address and account: a victim elsewhere is never locked out.

    Guesses on one account from many addresses at once make devices wait that never signed in to it before: a browser
    that did is let through, and so are a passkey, a wallet and a new password by mail.
    """

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def check(self, *, address: str, email: str, is_known_device: bool = False) -> None:
        """Return nothing if an attempt may be made now.

        Raises:
            TooManyAttempts: the wait after earlier failures is not over.
        """
        left_ms = await self._valkey.pttl(self._key("wait", address, email))
        if not is_known_device:
            left_ms = max(left_ms, await self._valkey.pttl(self._key("wait", "", email)))
        if left_ms > 0:
            raise TooManyAttempts(retry_after_s=-(-left_ms // 1000))

    async def failed(self, *, address: str, email: str) -> None:
        """Take note of a failure: from the fifth of an address on the wait doubles, up to a minute.

        From the hundredth failure on an account within an hour, from anywhere, strange devices wait half a minute.
        """
        counter = self._key("failures", address, email)
        failures = await self._valkey.incr(counter)
        await self._valkey.expire(counter, _MEMORY_S)
        if failures >= FREE_ATTEMPTS:
            wait_s = min(LONGEST_WAIT_S, 2 ** min(failures - FREE_ATTEMPTS, 10))
            await self._valkey.set(self._key("wait", address, email), "1", ex=wait_s)
        everywhere = self._key("failures", "", email)
        total = await self._valkey.incr(everywhere)
        await self._valkey.expire(everywhere, _ACCOUNT_MEMORY_S, nx=True)
        if total >= FREE_ATTEMPTS_EVERYWHERE:
            await self._valkey.set(self._key("wait", "", email), "1", ex=STRANGERS_WAIT_S)

    async def succeeded(self, *, address: str, email: str) -> None:
        await self._valkey.delete(self._key("failures", address, email), self._key("wait", address, email))

    def _key(self, what: str, address: str, email: str) -> str:
        subject = hashlib.sha256(f"{address}\n{email.lower()}".encode()).hexdigest()[:32]
        return f"axisor:accounts:login_{what}:{subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Who may open one stream."""

    user_id: UserId
    family_id: str


class StreamTickets:
    """Tickets that open one WebSocket within 30 s: the address of a socket is logged by proxies, a token is not."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def issue(self, ticket: Ticket, *, now: datetime) -> tuple[str, datetime]:
        """Return a new ticket's secret and the instant of its end."""
        secret = secrets.token_urlsafe(32)
        await self._valkey.set(_ticket_key(secret), msgspec.json.encode(ticket), ex=TICKET_LIFE)
        return secret, now + TICKET_LIFE

    async def use(self, secret: str) -> Ticket | None:
        """Return what a ticket says, once; None for one that is unknown, used or too old."""
        stored = await self._valkey.getdel(_ticket_key(secret))
        return None if stored is None else msgspec.json.decode(stored, type=Ticket)


def _ticket_key(secret: str) -> str:
    return f"axisor:accounts:ticket:{hashlib.sha256(secret.encode()).hexdigest()}"

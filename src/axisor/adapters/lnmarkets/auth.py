"""Keys, signatures and the exchange's clock."""

import hashlib
import hmac
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final

from axisor.ports.clock import Clock

_STEP_NOTICED_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """One API key of an exchange account; its representation never shows a secret."""

    key: str
    secret: str
    passphrase: str
    _mac: "hmac.HMAC" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # The padded key is hashed once; each signature starts from a copy of that state.
        object.__setattr__(self, "_mac", hmac.new(self.secret.encode(), digestmod=hashlib.sha256))

    def __repr__(self) -> str:
        return f"Credentials(key='…{self.key[-4:] if len(self.key) > 8 else ''}')"

    def __reduce__(self) -> str | tuple[type["Credentials"], tuple[str, str, str]]:
        return Credentials, (self.key, self.secret, self.passphrase)

    def mask(self, text: str) -> str:
        """Return `text` with every part of this key that stands in it replaced by stars."""
        for secret in (self.key, self.secret, self.passphrase):
            if secret:
                text = text.replace(secret, "***")
        return text

    def sign(self, message: str) -> str:
        """Return base64 of HMAC-SHA256 over `message`."""
        mac = self._mac.copy()
        mac.update(message.encode())
        return b64encode(mac.digest()).decode()


def sign_request(credentials: Credentials, *, timestamp_ms: int, method: str, path: str, data: str) -> str:
    """Return the signature of a REST call.

    The signed message is timestamp, method in lower case, path with its `/v3`, then `data`: the exact body, else
    the query with its leading `?`, else nothing.
    """
    return credentials.sign(f"{timestamp_ms}{method.lower()}{path}{data}")


def request_headers(
    credentials: Credentials, *, timestamp_ms: int, method: str, path: str, data: str
) -> tuple[tuple[str, str], ...]:
    """Return the four headers of a private REST call, in the order in which the official client sends them."""
    return (
        ("lnm-access-key", credentials.key),
        ("lnm-access-passphrase", credentials.passphrase),
        ("lnm-access-timestamp", str(timestamp_ms)),
        (
            "lnm-access-signature",
            sign_request(credentials, timestamp_ms=timestamp_ms, method=method, path=path, data=data),
        ),
    )


def stream_auth_params(credentials: Credentials, *, timestamp_ms: int, nonce: str) -> dict[str, str | int]:
    """Return the parameters of the stream's `authenticate`; it signs timestamp and nonce alone."""
    return {
        "key": credentials.key,
        "signature": credentials.sign(f"{timestamp_ms}{nonce}"),
        "timestamp": timestamp_ms,
        "passphrase": credentials.passphrase,
        "nonce": nonce,
    }


class VenueClock:
    """The exchange's clock as we know it: ours plus a measured offset.

    One per process is enough, because every account speaks to the same exchange from the same machine. A step of
    our wall clock after a measurement (somebody sets the time) does not move the exchange's clock: it is
    noticed against the boot-time clock and taken out.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ms = 0.0
        self._wall_minus_boot_s: float | None = None

    @property
    def offset_ms(self) -> float:
        """Return exchange clock minus ours, in milliseconds; 0 until measured."""
        return self._offset_ms - self._step_s() * 1_000

    @property
    def is_measured(self) -> bool:
        return self._wall_minus_boot_s is not None

    def measured(self, offset_ms: float) -> None:
        """Take note of a new offset."""
        self._offset_ms = offset_ms
        self._wall_minus_boot_s = self._clock.now().timestamp() - self._clock.boottime_s()

    def timestamp_ms(self) -> int:
        """Return the exchange's present time in milliseconds since 1970."""
        return int(self._clock.now().timestamp() * 1_000 + self.offset_ms)

    def _step_s(self) -> float:
        if self._wall_minus_boot_s is None:
            return 0.0
        step = self._clock.now().timestamp() - self._clock.boottime_s() - self._wall_minus_boot_s
        return step if abs(step) > _STEP_NOTICED_S else 0.0

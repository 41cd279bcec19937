"""What is sent and answered around accounts, devices, factors and API tokens."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, StringConstraints
from webauthn.helpers import bytes_to_base64url

from axisor.features.accounts.api_tokens import ApiToken, Scope
from axisor.features.accounts.device_repository import DeviceSession
from axisor.features.accounts.devices import WaysIn
from axisor.features.accounts.second_factor import Proof
from axisor.infra.wire import Body, Instant, instant, optional_instant

type Email = Annotated[
    str,
    StringConstraints(
        max_length=254, pattern=r"^[^@\s\x00-\x1f\x7f<>()\[\],;:\\\"]+@[^@\s\x00-\x1f\x7f<>()\[\],;:\\\"]+$"
    ),
]
type Name = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]
type Code = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]
type Locale = Literal["en", "pt-BR"]
type Uuid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
type Challenge = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class RegisterBody(Body):
    email: Email
    password: SecretStr = Field(max_length=1024)
    display_name: Name
    locale: Locale = "en"
    invitation: SecretStr | None = Field(default=None, max_length=200)


class ConfirmBody(Body):
    """A code with its registration, or the token of a link; and the password chosen, once more."""

    registration_id: Uuid | None = None
    code: Code | None = None
    token: SecretStr | None = Field(default=None, max_length=200)
    password: SecretStr = Field(max_length=1024)


class ResetAskBody(Body):
    email: Email
    locale: Locale = "en"


class ResetBody(Body):
    """A code with its address, or the token of a link."""

    email: Email | None = None
    code: Code | None = None
    token: SecretStr | None = Field(default=None, max_length=200)
    password: SecretStr = Field(max_length=1024)


class PasswordBody(Body):
    password: SecretStr = Field(max_length=1024)
    new_password: SecretStr = Field(max_length=1024)


class EmailBody(Body):
    email: Email


class EmailConfirmBody(Body):
    code: Code | None = None
    token: SecretStr | None = Field(default=None, max_length=200)


class ProofBody(Body):
    """One of: the code of an authenticator app, a recovery code, or what a passkey signed."""

    code: Code | None = None
    recovery_code: SecretStr | None = Field(default=None, max_length=40)
    passkey_challenge: Challenge | None = None
    passkey: dict[str, Any] | None = None

    def proof(self) -> Proof:
        return Proof(
            code=self.code,
            recovery_code=None if self.recovery_code is None else self.recovery_code.get_secret_value(),
            passkey_challenge=self.passkey_challenge,
            passkey=self.passkey,
        )


class FactorBody(ProofBody):
    challenge: Challenge


class ReauthBody(ProofBody):
    """The proof of a second factor, or the password of somebody who has none."""

    password: SecretStr | None = Field(default=None, max_length=1024)


class PasskeyBody(Body):
    challenge: Challenge
    credential: dict[str, Any]


class WalletBody(Body):
    challenge: Challenge


class NameBody(Body):
    name: Name


class CodeBody(Body):
    code: Code


class TokenBody(Body):
    name: Name
    scopes: tuple[Scope, ...] = Field(default=(Scope.READ,), min_length=1, max_length=5)
    days: int = Field(default=90, ge=1, le=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRead:
    """Says nothing of whether the address has an account."""

    registration_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionsRead:
    """`options` is for `navigator.credentials`; its answer comes back with `challenge`."""

    challenge: str
    options: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletRequestRead:
    """`lnurl` is the text of the QR code; ask with `challenge` until the wallet has signed."""

    challenge: str
    lnurl: str
    url: str
    expires_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpRead:
    secret: str
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCodesRead:
    """Shown this once."""

    recovery_codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRead:
    device_id: str
    is_current: bool
    method: str
    user_agent: str
    address: str
    created_at: Instant
    last_seen_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicesRead:
    devices: tuple[DeviceRead, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRead:
    ended: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRead:
    """A passkey or a wallet."""

    key_id: str
    name: str
    created_at: Instant
    last_used_at: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorsRead:
    has_totp: bool
    passkeys: tuple[KeyRead, ...]
    wallets: tuple[KeyRead, ...]
    recovery_codes_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRead:
    token_id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: Instant
    expires_at: Instant
    last_used_at: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensRead:
    tokens: tuple[TokenRead, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTokenRead:
    """`secret` is shown this once."""

    token: TokenRead
    secret: str


def read_device(device: DeviceSession, *, current: str) -> DeviceRead:
    return DeviceRead(
        device_id=device.family_id,
        is_current=device.family_id == current,
        method=device.method,
        user_agent=device.user_agent,
        address=device.address,
        created_at=instant(device.created_at),
        last_seen_at=instant(device.last_seen_at),
    )


def read_factors(ways: WaysIn) -> FactorsRead:
    return FactorsRead(
        has_totp=ways.has_totp,
        passkeys=tuple(
            KeyRead(
                key_id=bytes_to_base64url(each.credential_id),
                name=each.name,
                created_at=instant(each.created_at),
                last_used_at=optional_instant(each.last_used_at),
            )
            for each in ways.passkeys
        ),
        wallets=tuple(
            KeyRead(
                key_id=each.linking_key.hex(),
                name=each.name,
                created_at=instant(each.created_at),
                last_used_at=optional_instant(each.last_used_at),
            )
            for each in ways.wallets
        ),
        recovery_codes_left=ways.recovery_codes_left,
    )


def read_token(token: ApiToken) -> TokenRead:
    return TokenRead(
        token_id=token.token_id,
        name=token.name,
        scopes=token.scopes,
        created_at=instant(token.created_at),
        expires_at=instant(token.expires_at),
        last_used_at=optional_instant(token.last_used_at),
    )

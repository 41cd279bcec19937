"""Everything about people that the routes call, built once."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from axisor.features.accounts.api_tokens import ApiTokens
from axisor.features.accounts.challenges import Challenges
from axisor.features.accounts.codes import Codes
from axisor.features.accounts.devices import Devices
from axisor.features.accounts.factor_gate import FactorGate
from axisor.features.accounts.factors.passkeys import Passkeys
from axisor.features.accounts.factors.totp import Totp
from axisor.features.accounts.factors.wallets import Wallets
from axisor.features.accounts.limits import LoginThrottle
from axisor.features.accounts.mails import Postbox
from axisor.features.accounts.passwords import Passwords
from axisor.features.accounts.profile import Profile
from axisor.features.accounts.registration import Policy, Registration
from axisor.features.accounts.second_factor import SecondFactor
from axisor.features.accounts.service import AccountsService
from axisor.features.accounts.tokens import AccessTokens
from axisor.infra.crypto import KeyRing
from axisor.infra.db.session import Database
from axisor.infra.valkey import Valkey
from axisor.ports.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    accounts: AccountsService
    tokens: AccessTokens
    registration: Registration
    profile: Profile
    devices: Devices
    second_factor: SecondFactor
    totp: Totp
    passkeys: Passkeys
    wallets: Wallets
    api_tokens: ApiTokens

    @classmethod
    def build(
        cls,
        *,
        database: Database,
        valkey: Valkey,
        keys: KeyRing,
        jwt_secret: bytes,
        previous_jwt_secrets: tuple[bytes, ...] = (),
        policy: Policy,
        has_mail: bool,
        public_url: str,
        clock: Clock,
    ) -> "People":
        """Return the services over connections that somebody else owns."""
        tokens = AccessTokens(jwt_secret, previous=previous_jwt_secrets)
        passwords = Passwords()
        pepper = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"axisor mailed codes").derive(jwt_secret)
        codes = Codes(pepper)
        postbox = Postbox(keys, public_url=public_url, is_open=has_mail, clock=clock)
        challenges = Challenges(valkey)
        gate = FactorGate(database, challenges)
        accounts = AccountsService(
            database=database,
            throttle=LoginThrottle(valkey),
            tokens=tokens,
            passwords=passwords,
            gate=gate,
            postbox=postbox,
            clock=clock,
        )
        totp = Totp(database, keys, postbox, clock)
        passkeys = Passkeys(database, challenges, postbox, public_url=public_url, clock=clock)
        return cls(
            accounts=accounts,
            tokens=tokens,
            registration=Registration(
                database=database,
                passwords=passwords,
                codes=codes,
                postbox=postbox,
                policy=policy,
                public_url=public_url,
                clock=clock,
            ),
            profile=Profile(
                database=database,
                passwords=passwords,
                codes=codes,
                postbox=postbox,
                public_url=public_url,
                clock=clock,
            ),
            devices=Devices(database, postbox, gate, clock),
            second_factor=SecondFactor(
                database=database,
                accounts=accounts,
                gate=gate,
                challenges=challenges,
                totp=totp,
                passkeys=passkeys,
                passwords=passwords,
                postbox=postbox,
                clock=clock,
            ),
            totp=totp,
            passkeys=passkeys,
            wallets=Wallets(database, valkey, challenges, postbox, public_url=public_url, clock=clock),
            api_tokens=ApiTokens(database, postbox, clock),
        )

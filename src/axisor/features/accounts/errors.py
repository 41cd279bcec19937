"""What can go wrong when someone signs in."""

from axisor.domain.errors import AccessError, Conflict, DomainError, NotPermitted


class WrongCredentials(AccessError):
    """The address and password do not belong together; which of the two is wrong is not said."""

    code = "wrong_credentials"


class TooManyAttempts(AccessError):
    """Signing in has to wait."""

    code = "too_many_attempts"

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(f"too many attempts: try again in {retry_after_s} s", retry_after_s=retry_after_s)
        self.retry_after_s = retry_after_s


class LinkUsed(AccessError):
    """The start link is unknown, used or older than its ten minutes."""

    code = "link_used"


class SessionReused(AccessError):
    """A refresh token came a second time: the whole family of its session has ended."""

    code = "session_reused"


class EmailTaken(Conflict):
    code = "email_taken"


class FactorRequired(AccessError):
    """The first factor was right: the challenge in the context has to be answered with a second one."""

    code = "factor_required"

    def __init__(self, *, challenge: str, methods: tuple[str, ...], expires_in_s: int) -> None:
        super().__init__(
            "confirm with a second factor", challenge=challenge, methods=list(methods), expires_in_s=expires_in_s
        )


class WrongCode(DomainError):
    """The code, passkey or signature is wrong, used, or too old.

    No 401: whoever sends it may be signed in, and a client that renews its session would send the guess once more.
    """

    code = "wrong_code"


class WrongPassword(DomainError):
    """The present password of somebody who is signed in is another."""

    code = "wrong_password"


class ChallengeLocked(AccessError):
    """Too many wrong answers: begin again."""

    code = "challenge_locked"


class ReauthRequired(NotPermitted):
    """The action asks for a proof of who one is, not older than ten minutes."""

    code = "reauth_required"


class PasswordTooCommon(DomainError):
    """The password is among those that everybody tries first."""

    code = "password_too_common"


class RegistrationClosed(NotPermitted):
    code = "registration_closed"


class MailNotConfigured(Conflict):
    """This instance has no mail server: the operator creates users on the command line."""

    code = "mail_not_configured"


class CodeUsed(DomainError):
    """A link or code is unknown, used, too old, or was guessed at too often."""

    code = "code_used"


class FactorExists(Conflict):
    code = "factor_exists"


class LastWayIn(Conflict):
    """Nothing else would be left to sign in with."""

    code = "last_way_in"


class WalletPending(Conflict):
    """The wallet has not signed yet: ask again."""

    code = "wallet_pending"

"""What can go wrong when someone signs in."""

from axisor.domain.errors import AccessError, Conflict


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

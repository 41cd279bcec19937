"""What a request tells of where it comes from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """`device_token` is what this browser was given when somebody signed in with it before."""

    address: str = "unknown"
    user_agent: str = ""
    device_token: str | None = None

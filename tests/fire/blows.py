"""Blows as the scenarios of the short and the long form write them down."""

from typing import Any, Final

from tests.fire.scenario import TAKEOVER_S, Blow, Deed

AT_THE_MARK_S: Final = 1.9
"""The first marks are reached here."""
PAST_EVERYTHING_S: Final = TAKEOVER_S + 1.5
OTHERS: Final = ("worker", "scheduler")


def fault(kind: str, *, at_s: float = 0.5, path: str = "add-margin", count: int = 4, **options: Any) -> Blow:
    """Return a fault of the exchange's."""
    return Blow(
        at_s=at_s, deed=Deed.STRIKE, whom="exchange", fault={"kind": kind, "path": path, "count": count, **options}
    )


def blow(deed: Deed, whom: str = "monitor", *, at_s: float = AT_THE_MARK_S, for_s: float = 0.0) -> Blow:
    """Return what is done to a role or a server."""
    return Blow(at_s=at_s, deed=deed, whom=whom, for_s=for_s)

"""What happens in one scenario under fire: the tape, what is done to whom at which second, and with which constants."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from axisor.features.margin_guard.rule import Preset

ENTRY_USD: Final = 61_999.5
LEASE_S: Final = 2.0
WINDOW_S: Final = 2.0
BOUND_S: Final = 1.0
QUIET_S: Final = WINDOW_S + BOUND_S
TAKEOVER_S: Final = LEASE_S + QUIET_S
"""The least warning with which a trade is promised to live: a frozen owner's lease, then the quiet period."""
QUICK: Final = {
    "AXISOR_SIGNATURE_WINDOW_S": str(WINDOW_S),
    "AXISOR_APPLY_BOUND_S": str(BOUND_S),
    "AXISOR_SEND_DEADLINE_S": "1",
    "AXISOR_READ_NEAR_S": "0.5",
    "AXISOR_LEASE_TTL_S": str(LEASE_S),
    "AXISOR_PRIVATE_RATE_PER_S": "10",
    "AXISOR_PRIVATE_BURST": "10",
    "AXISOR_SECOND_SEND": "false",
}
MARK_USD: Final = 60_800.0
"""The 26x longs are due here, the 25x longs one price later."""
STEP_S: Final = 0.2
QUANTITY_USD: Final = 6_200
SERVERS: Final = ("postgres", "valkey")


class Deed(StrEnum):
    """What is done to an installation; each names the role or the server that it befalls."""

    KILL = "killed"
    FREEZE = "frozen"
    FREEZE_ALONE = "frozen and cut off"
    """As `FREEZE`, and the frozen monitor wakes without PostgreSQL."""
    FREEZE_AT_WRITE = "frozen before a request's first byte"
    WAKE = "woken"
    """Whoever is frozen wakes."""
    CUT = "cut off"
    """The server is away: every connection of the installation to it breaks, and none is made."""
    ALONE = "alone cut off"
    """The present monitor alone loses PostgreSQL; its successor has it."""
    FUNDING = "settled funding"
    """Longs pay funding out of their margin."""
    STRIKE = "struck"
    """The exchange gets a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """One deed at a second of the tape."""

    at_s: float
    """Infinite: after the tape, once everything due is served."""
    deed: Deed
    whom: str = "monitor"
    for_s: float = 0.0
    fault: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        if self.deed is Deed.STRIKE:
            return str(self.fault["kind"])
        is_long = self.deed is Deed.FREEZE and self.for_s > TAKEOVER_S
        return f"{self.whom} {self.deed}{' past the quiet period' if is_long else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What happens, and how much of it must be survived."""

    blows: tuple[Blow, ...] = ()
    accounts: int = 4
    trades: int = 8
    leverages: tuple[int, ...] = (25, 26)
    preset: Preset = Preset.HOLD_LONGER
    has_stop: bool = True
    roles: tuple[str, ...] = ()
    """Beside the monitor."""
    module: str = "axisor"
    """The program that runs as monitor."""
    is_guarded: bool = True
    has_successor: bool = True
    """Whether a killed role is started again."""
    has_own_engines: bool = False
    """Whether PostgreSQL and Valkey are the scenario's own, so that they can be killed."""
    deepest_usd: float = 59_850.0
    falls_to_mark_s: float = 2.0
    warning_s: float = 11.0
    """How long the price takes from the first mark to the deepest price."""
    starts_within_s: float = 3.5
    """Within it the guard is at rest on a machine that is not busy; on a busy one a successor starts late, too."""
    settles_s: float = 30.0
    """How long after the tape what is due may still be served."""
    environment: dict[str, str] = field(default_factory=dict)
    is_alone: bool = False
    """Whether it needs the whole machine: what it demands of the guard is no test of how busy the machine is."""

    @property
    def allows_second_send(self) -> bool:
        return self.environment.get("AXISOR_SECOND_SEND") == "true"

    def tape_usd(self, *, longer_s: float = 0.0) -> list[float]:
        """Return five prices a second: quickly to the mark, slowly to the deepest, slower by so many seconds."""
        quick, slow = round(self.falls_to_mark_s / STEP_S), round((self.warning_s + longer_s) / STEP_S)
        mark_usd = MARK_USD
        return [_half(ENTRY_USD + (mark_usd - ENTRY_USD) * (i + 1) / quick) for i in range(quick)] + [
            _half(mark_usd + (self.deepest_usd - mark_usd) * (i + 1) / slow) for i in range(slow)
        ]


def seeded_blows(
    seed: int, roles: Sequence[str], *, seconds: float, every_s: float, kills_servers: bool = False
) -> tuple[Blow, ...]:
    """Return a blow every few seconds, each at a role or server drawn by lot: the same for the same seed."""
    lot = random.Random(seed)
    blows = []
    at_s = lot.uniform(1.0, every_s)
    while at_s < seconds:
        whom = lot.choice(("monitor", "monitor", *roles, *SERVERS))
        if whom in SERVERS and not (kills_servers and lot.random() < 0.5):
            blows.append(Blow(at_s=at_s, deed=Deed.CUT, whom=whom, for_s=lot.uniform(0.5, 4.0)))
        elif whom in SERVERS or lot.random() < 0.5:
            blows.append(Blow(at_s=at_s, deed=Deed.KILL, whom=whom))
        else:
            for_s = lot.choice((1.0, TAKEOVER_S + 1))
            blows.append(Blow(at_s=at_s, deed=Deed.FREEZE, whom=whom, for_s=for_s))
        at_s += lot.uniform(0.5, 1.5) * every_s
    return tuple(blows)


def _half(usd: float) -> float:
    return round(usd * 2) / 2

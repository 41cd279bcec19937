"""One fault: what it does, what it waits for, and how often it has struck."""

import math
import re
from enum import StrEnum
from typing import Final
from uuid import uuid4

import msgspec

from axisor.domain.errors import ConfigurationError
from axisor.paper.faults.kinds import TRAITS, FaultKind, Occasion, Traits

_CLOSE_CODES: Final = range(1_000, 5_000)
_STATUSES: Final = range(200, 600)
_NOT_NEGATIVE: Final = ("seconds", "hang_s", "after_s", "period_s", "count", "max_seconds", "for_s", "retry_after_s")


class Affects(StrEnum):
    """What a wrong clock is used for."""

    SIGNATURES = "signatures"  # judging the time of signatures
    TIMES = "times"  # the times that clients are told
    BOTH = "both"


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One fault. Numbers that count occasions count those that match it, from 1."""

    kind: FaultKind
    method: str | None = None
    path: str | None = None
    """A regular expression searched in the path."""
    account: str | None = None
    """An account id, user name or API key."""
    topic: str | None = None
    """A regular expression searched in the topic of a pushed frame."""
    nth: int = 1
    """The first matching occasion that it meets."""
    every: int = 1
    """From there on it meets every n-th."""
    count: int | None = None
    """How many occasions it meets, 0: no end. None: one; no end where a kind is lasting, has `for_s` or `period_s`."""
    probability: float = 1.0
    """With which it meets an occasion that it could meet."""
    seed: int | None = None
    """Of its chances; None: made of the exchange's seed and of how many faults there were before it."""
    after_s: float = 0.0
    """It begins this long after it was put in force."""
    for_s: float | None = None
    """It ends this long after it began."""
    period_s: float = 0.0
    """It strikes again every so many seconds; 0: once."""
    seconds: float = 0.0
    max_seconds: float | None = None
    """With it, `seconds` is the lower bound of a uniformly random time."""
    hang_s: float = 0.0
    status: int | None = None
    """None: the kind's own."""
    code: str | None = None
    message: str | None = None
    with_effect: bool = False
    retry_after_s: int | None = None
    is_html: bool = False
    """Answers with a web page instead of the exchange's JSON."""
    reads_too: bool = False
    """Refuses readings as well as commands."""
    shift_s: float = 0.0
    affects: Affects = Affects.BOTH
    fault_id: str = msgspec.field(default_factory=lambda: str(uuid4()))
    seen: int = 0
    met: int = 0

    def __post_init__(self) -> None:
        if self.count is None:
            repeats = self.traits.is_lasting or self.for_s is not None or self.period_s > 0
            self.count = 0 if repeats and self.kind is not FaultKind.DISCONNECT_STORM else 1
        if self.kind is FaultKind.DISCONNECT_STORM and self.period_s == 0:
            self.period_s = 1.0
        if self.status is None:
            self.status = self.traits.status

    @property
    def traits(self) -> Traits:
        return TRAITS[self.kind]

    @property
    def is_spent(self) -> bool:
        return bool(self.count) and self.met >= (self.count or 0)

    @property
    def waits_for_request(self) -> bool:
        """Return whether the arrival of a request makes it strike, though it strikes something else."""
        if self.traits.occasion is not Occasion.MOMENT:
            return False
        names_caller = self.account is not None and not self.traits.strikes_sockets
        return self.method is not None or self.path is not None or names_caller

    def matches_request(self, *, method: str, path: str, account: frozenset[str], is_command: bool) -> bool:
        """Return whether a request is of those that it waits for."""
        if self.method is not None and self.method.upper() != method:
            return False
        if self.path is not None and re.search(self.path, path) is None:
            return False
        is_for_commands = self.kind in {FaultKind.REFUSE_ACCOUNT, FaultKind.READ_ONLY_ACCOUNT}
        if is_for_commands and not is_command and not self.reads_too:
            return False
        return self.matches_account(account)

    def matches_frame(self, *, topic: str, account: frozenset[str]) -> bool:
        """Return whether a pushed frame is of those that it waits for."""
        return (self.topic is None or re.search(self.topic, topic) is not None) and self.matches_account(account)

    def matches_account(self, account: frozenset[str]) -> bool:
        return self.account is None or self.account in account

    def check(self) -> None:
        """Return if the values make sense together.

        Raises:
            ConfigurationError: naming the one that does not.
        """
        for name in ("path", "topic"):
            try:
                re.compile(getattr(self, name) or "")
            except re.error as error:
                raise ConfigurationError(f"fault {name} {getattr(self, name)!r}: {error}") from error
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise self._wrong(name, "is not a number from 0 on")
        for name in ("nth", "every"):
            if getattr(self, name) < 1:
                raise self._wrong(name, "counts from 1")
        if not 0 <= self.probability <= 1:
            raise self._wrong("probability", "lies between 0 and 1")
        if not math.isfinite(self.shift_s):
            raise self._wrong("shift_s", "is not a number")
        if self.max_seconds is not None and self.max_seconds < self.seconds:
            raise self._wrong("max_seconds", "is less than seconds")
        if self.traits.needs_seconds and self.seconds == 0:
            raise self._wrong("seconds", "must say how long")
        if self.status not in (_CLOSE_CODES if self.traits.strikes_sockets else _STATUSES):
            raise self._wrong("status", f"cannot be {self.status}")

    def _wrong(self, option: str, problem: str) -> ConfigurationError:
        return ConfigurationError(f"fault {self.kind}: {option} {problem}")

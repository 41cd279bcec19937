"""Faults that the paper Lightning network can be told to have.

A fault waits for payments that match it, in the order in which they are routed, and is spent after `count` of them.
What it did is kept, so that a test can say what was injected.
"""

import random
from collections import deque
from enum import StrEnum
from typing import Final
from uuid import uuid4

import msgspec

from axisor.domain.errors import ConfigurationError
from axisor.paper.lightning.ports import FailureReason

_KEPT_DEEDS: Final = 10_000


class Payer(StrEnum):
    USER = "user"  # a deposit to the exchange
    EXCHANGE = "exchange"  # a withdrawal


class LightningFaultKind(StrEnum):
    HOLD = "hold"  # in flight, accepted by the payee, until the control interface releases it
    FAIL = "fail"  # no route is tried; it fails for `reason`
    DELAY = "delay"  # it arrives `seconds` after it was routed
    NOTIFY_TWICE = "notify_twice"  # whoever is told of the settlement is told twice
    LOSE_ANSWER = "lose_answer"  # it is paid, and the connection of the request that ordered it ends without an answer


class LightningFault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One fault and what it waits for. Without `count` it meets one payment, with 0 every one."""

    kind: LightningFaultKind
    payer: Payer | None = None
    payment_hash: str | None = None
    nth: int = 1
    """The first matching payment that it meets, counted from 1."""
    count: int = 1
    probability: float = 1.0
    """Of meeting a payment that it could meet; by the seed of the market."""
    seconds: float = 0.0
    reason: FailureReason = FailureReason.NO_ROUTE
    fault_id: str = msgspec.field(default_factory=lambda: str(uuid4()))
    seen: int = 0
    met: int = 0

    @property
    def is_spent(self) -> bool:
        return self.count > 0 and self.met >= self.count


class LightningDeed(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that met a payment."""

    seq: int
    at_ms: int
    fault_id: str
    kind: LightningFaultKind
    payer: Payer
    payment_hash: str


class LightningFaultBook:
    """The faults in force, oldest first, and what they did."""

    def __init__(self, *, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a rehearsed fault must be the same for a seed
        self._faults: list[LightningFault] = []
        self._deeds: deque[LightningDeed] = deque(maxlen=_KEPT_DEEDS)
        self._seq = 0

    @property
    def faults(self) -> list[LightningFault]:
        return list(self._faults)

    @property
    def count(self) -> int:
        """How often a fault has met a payment, ever."""
        return self._seq

    def deeds_after(self, seq: int = 0) -> list[LightningDeed]:
        """Return what faults did after this sequence number, of the last 10,000 deeds."""
        return [each for each in self._deeds if each.seq > seq]

    def add(self, fault: LightningFault) -> None:
        """Put a fault in force.

        Raises:
            ConfigurationError: a number is negative, or the probability lies outside 0-1.
        """
        if min(fault.nth - 1, fault.count, fault.seconds) < 0:
            raise ConfigurationError(f"fault {fault.kind}: nth counts from 1, and nothing may be negative")
        if not 0 <= fault.probability <= 1:
            raise ConfigurationError(f"fault {fault.kind}: a probability lies between 0 and 1")
        self._faults.append(fault)

    def clear(self, fault_id: str | None = None) -> int:
        """Return how many faults were withdrawn: one, or all without an id."""
        kept = [fault for fault in self._faults if fault_id is not None and fault.fault_id != fault_id]
        withdrawn = len(self._faults) - len(kept)
        self._faults = kept
        return withdrawn

    def meet(self, *, payer: Payer, payment_hash: str, at_ms: int) -> dict[LightningFaultKind, LightningFault]:
        """Return what this payment meets, at most one fault of each kind, and record it."""
        met: dict[LightningFaultKind, LightningFault] = {}
        for fault in self._faults:
            if fault.kind in met or fault.is_spent or not _matches(fault, payer, payment_hash):
                continue
            fault.seen += 1
            if fault.seen < fault.nth or self._random.random() >= fault.probability:
                continue
            fault.met += 1
            met[fault.kind] = fault
            self._seq += 1
            self._deeds.append(
                LightningDeed(
                    seq=self._seq,
                    at_ms=at_ms,
                    fault_id=fault.fault_id,
                    kind=fault.kind,
                    payer=payer,
                    payment_hash=payment_hash,
                )
            )
        return met


def _matches(fault: LightningFault, payer: Payer, payment_hash: str) -> bool:
    return fault.payer in {None, payer} and fault.payment_hash in {None, payment_hash}

"""What was injected: the evidence that tests judge faults by."""

from collections import deque
from typing import Final

import msgspec

from axisor.paper.faults.fault import Fault

KEPT_INJECTIONS: Final = 20_000


class Injection(msgspec.Struct, kw_only=True):
    """One time that a fault struck one request, connection, socket, frame, or the whole exchange."""

    seq: int
    at_ms: float
    fault_id: str
    kind: str
    done: str
    """What exactly was done, with the figures of this time."""
    request_seq: int | None = None
    """The request's number in the request log."""
    socket: str | None = None
    topic: str | None = None
    with_effect: bool | None = None
    """Whether the request changed anything, so far; None: it was about no request."""


class Total(msgspec.Struct, kw_only=True):
    injected: int = 0
    with_effect: int = 0


class InjectionLog:
    """The newest 20,000 injections, and totals by kind of all there were."""

    def __init__(self, *, kept: int = KEPT_INJECTIONS) -> None:
        self._injections: deque[Injection] = deque(maxlen=kept)
        self._seq = 0
        self.totals: dict[str, Total] = {}

    @property
    def count(self) -> int:
        """Return how many injections there were ever."""
        return self._seq

    def record(
        self,
        fault: Fault,
        *,
        done: str,
        at_ms: float,
        request_seq: int | None = None,
        socket: str | None = None,
        topic: str | None = None,
    ) -> Injection:
        """Return the record of an injection that has just happened; a request's effect is noted when it comes."""
        self._seq += 1
        injection = Injection(
            seq=self._seq,
            at_ms=at_ms,
            fault_id=fault.fault_id,
            kind=str(fault.kind),
            done=done,
            request_seq=request_seq,
            socket=socket,
            topic=topic,
            with_effect=None if request_seq is None else False,
        )
        self._injections.append(injection)
        self.totals.setdefault(injection.kind, Total()).injected += 1
        return injection

    def has_effect(self, injection: Injection) -> None:
        """Note that the request of an injection has changed something."""
        if not injection.with_effect:
            injection.with_effect = True
            self.totals[injection.kind].with_effect += 1

    def after(self, seq: int) -> list[Injection]:
        """Return the injections after a number, oldest first."""
        return [injection for injection in self._injections if injection.seq > seq]

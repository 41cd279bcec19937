"""What faults do to pushed frames on their way to one socket: drop them, send them twice, or after the next one."""

from collections.abc import Callable
from typing import Final

from axisor.paper.clock import epoch_us
from axisor.paper.exchange import PaperExchange
from axisor.paper.faults import Fault, FaultKind
from axisor.paper.hub import Frame

_LONGEST_HOLD_S: Final = 1.0


class FrameFaults:
    """The faults of one socket's frames. What it holds back is sent after the next frame, the newest of it first."""

    def __init__(self, exchange: PaperExchange, *, socket: str, names: Callable[[], frozenset[str]]) -> None:
        self._exchange = exchange
        self._socket = socket
        self._names = names
        self._held: list[str] = []
        self._release_at_s = 0.0

    @property
    def release_in_s(self) -> float | None:
        """Return the seconds until what is held back is sent anyway, None when nothing is."""
        return max(0.0, self._release_at_s - self._exchange.clock.boottime_s()) if self._held else None

    def release(self) -> list[str]:
        """Return what was held back; it is not held any more."""
        released, self._held = self._held[::-1], []
        return released

    def pass_on(self, frame: Frame) -> list[str]:
        """Return what is sent now that this frame is on its way."""
        fault = None if frame.topic is None else self._met(frame.topic)
        match fault:
            case Fault(kind=FaultKind.DROP_FRAMES):
                self._record(fault, frame, "never sent")
                return []
            case Fault(kind=FaultKind.REORDER_FRAMES):
                self._hold(fault, frame)
                return []
            case Fault(kind=FaultKind.DUPLICATE_FRAMES):
                self._record(fault, frame, "sent twice")
                return [frame.text, frame.text, *self.release()]
            case _:
                return [frame.text, *self.release()]

    def _met(self, topic: str) -> Fault | None:
        clock = self._exchange.clock
        return self._exchange.faults.meet_frame(topic=topic, account=self._names(), now_s=clock.boottime_s())

    def _hold(self, fault: Fault, frame: Frame) -> None:
        if not self._held:
            self._release_at_s = self._exchange.clock.boottime_s() + (fault.seconds or _LONGEST_HOLD_S)
        self._held.append(frame.text)
        self._record(fault, frame, "held until after the next frame")

    def _record(self, fault: Fault, frame: Frame, done: str) -> None:
        at_ms = epoch_us(self._exchange.clock.now()) / 1000
        self._exchange.injections.record(fault, done=done, at_ms=at_ms, socket=self._socket, topic=frame.topic)

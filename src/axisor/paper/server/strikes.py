"""Faults that strike at a moment: sockets, prices, clock, engine and port, each for a while."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from axisor.infra.tasks import TaskSet
from axisor.paper.clock import epoch_us
from axisor.paper.exchange import PaperExchange
from axisor.paper.faults import Fault, FaultKind, Occasion
from axisor.paper.faults.fault import Affects
from axisor.paper.server.listener import Listener
from axisor.paper.server.stream import StreamEndpoint
from axisor.paper.wire.numbers import price_number

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blow:
    """One strike of a fault."""

    fault: Fault
    seconds: float
    exchange: PaperExchange
    stream: StreamEndpoint
    listener: Listener | None
    request_seq: int | None

    def record(self, done: str, *, socket: str | None = None) -> None:
        injection = self.exchange.injections.record(
            self.fault,
            done=done,
            at_ms=epoch_us(self.exchange.clock.now()) / 1000,
            socket=socket,
        )
        injection.request_seq = self.request_seq

    @property
    def for_s(self) -> float | None:
        """Return how long the state lasts, None: until the fault is withdrawn."""
        return self.seconds or None

    @property
    def how_long(self) -> str:
        return "until withdrawn" if self.for_s is None else f"for {self.seconds:g} s"


async def _freeze(blow: _Blow) -> bool:
    struck = blow.stream.sessions_of(blow.fault.account)
    for session in struck:
        session.freeze(blow.seconds)
        blow.record(f"frozen for {blow.seconds:g} s", socket=session.name)
    return bool(struck)


async def _close(blow: _Blow) -> bool:
    code = blow.fault.status or blow.fault.traits.status
    struck = blow.stream.sessions_of(blow.fault.account)
    for session in struck:
        blow.record(f"closed with {code}", socket=session.name)
    await blow.stream.close_sessions(struck, code)
    return bool(struck)


async def _storm(blow: _Blow) -> bool:
    clock = blow.exchange.clock
    ends_at_s = clock.boottime_s() + blow.seconds
    has_struck = await _close(blow)
    while clock.boottime_s() + blow.fault.period_s < ends_at_s:
        await clock.sleep(blow.fault.period_s)
        if blow.exchange.faults.find(blow.fault.fault_id) is None:
            return has_struck  # it was withdrawn
        has_struck = await _close(blow) or has_struck
    return has_struck


async def _hold_prices(blow: _Blow) -> bool:
    held = blow.exchange.hold_prices(for_s=blow.for_s)
    blow.record(f"prices held at {price_number(held.last_price)} {blow.how_long}")
    return True


async def _put_clock_wrong(blow: _Blow) -> bool:
    affects = blow.fault.affects
    blow.exchange.wrong_clock.put_wrong(
        shift_s=blow.fault.shift_s,
        for_signatures=affects is not Affects.TIMES,
        for_times=affects is not Affects.SIGNATURES,
        for_s=blow.for_s,
    )
    blow.record(f"clock off by {blow.fault.shift_s:+g} s for {affects} {blow.how_long}")
    return True


async def _maintain(blow: _Blow) -> bool:
    blow.exchange.set_available(False, reason=_reason(blow.fault), for_s=blow.for_s)
    blow.record(f"engine away {blow.how_long}")
    return True


def _reason(fault: Fault) -> str:
    return f"fault {fault.fault_id}"


async def _refuse_connections(blow: _Blow) -> bool:
    if blow.listener is None or not blow.listener.stop():
        return False
    blow.record(f"port closed for {blow.seconds:g} s")
    await blow.exchange.clock.sleep(blow.seconds)
    await blow.listener.resume()
    return True


_BLOWS: Final[dict[FaultKind, Callable[[_Blow], Awaitable[bool]]]] = {
    FaultKind.FREEZE_STREAM: _freeze,
    FaultKind.CLOSE_STREAM: _close,
    FaultKind.DISCONNECT_STORM: _storm,
    FaultKind.STALE_TICKER: _hold_prices,
    FaultKind.WRONG_CLOCK: _put_clock_wrong,
    FaultKind.MAINTENANCE: _maintain,
    FaultKind.REFUSE_CONNECTIONS: _refuse_connections,
}
_LASTS_BEYOND_ITS_STRIKE: Final = frozenset({FaultKind.DISCONNECT_STORM, FaultKind.REFUSE_CONNECTIONS})


class Strikes:
    """Puts faults in force and lets those that wait for a moment strike when it comes."""

    def __init__(self, exchange: PaperExchange, stream: StreamEndpoint) -> None:
        self._exchange = exchange
        self._stream = stream
        self._listener: Listener | None = None
        self._tasks = TaskSet("fault strikes")

    async def begin(self, listener: Listener) -> None:
        """Let the faults strike that were there from the start; the exchange listens now."""
        self._listener = listener
        for fault in self._exchange.faults.faults:
            await self._schedule(fault)

    async def close(self) -> None:
        await self._tasks.close()

    async def put_in_force(self, fault: Fault) -> None:
        """Add a fault; one that strikes at once has struck on return.

        Raises:
            ConfigurationError: its values make no sense, or its id is in use.
        """
        self._exchange.faults.add(fault, now_s=self._exchange.clock.boottime_s())
        await self._schedule(fault)

    def withdraw(self, fault_id: str | None = None) -> int:
        """Return how many faults were withdrawn: one, or all without an id. What they did to the exchange ends too."""
        book = self._exchange.faults
        for fault in book.faults:
            if fault_id in {None, fault.fault_id} and fault.met > 0:
                self._undo(fault)
        return book.clear(fault_id)

    async def on_request(
        self, *, method: str, path: str, account: frozenset[str], is_command: bool, request_seq: int
    ) -> None:
        """Let the faults strike that waited for this request, before it is applied."""
        triggered = self._exchange.faults.triggered(
            method=method,
            path=path,
            account=account,
            is_command=is_command,
            now_s=self._exchange.clock.boottime_s(),
        )
        for fault in triggered:
            await self._strike(fault, request_seq=request_seq)

    async def _schedule(self, fault: Fault) -> None:
        if fault.traits.occasion is not Occasion.MOMENT or fault.waits_for_request:
            return
        is_repeated = fault.period_s > 0 and fault.kind is not FaultKind.DISCONNECT_STORM
        if fault.after_s == 0 and not is_repeated:
            await self._occur(fault)
            return
        if fault.after_s == 0:
            await self._occur(fault)
        self._tasks.start(self._keep_time(fault, is_repeated=is_repeated), name=f"fault {fault.fault_id}")

    async def _keep_time(self, fault: Fault, *, is_repeated: bool) -> None:
        clock = self._exchange.clock
        due_s = clock.boottime_s()
        if fault.after_s > 0:
            due_s += fault.after_s
            await clock.sleep(fault.after_s)
            await self._occur(fault)
        ends_at_s = None if fault.for_s is None else due_s + fault.for_s
        while is_repeated and not fault.is_spent and self._is_in_force(fault):
            due_s += fault.period_s
            if ends_at_s is not None and due_s >= ends_at_s:
                return
            await clock.sleep(max(0.0, due_s - clock.boottime_s()))
            await self._occur(fault)

    def _is_in_force(self, fault: Fault) -> bool:
        return self._exchange.faults.find(fault.fault_id) is fault

    async def _occur(self, fault: Fault) -> None:
        if self._exchange.faults.is_due(fault, now_s=self._exchange.clock.boottime_s()):
            await self._strike(fault)

    async def _strike(self, fault: Fault, *, request_seq: int | None = None) -> None:
        """Strike, and count it unless there was nothing to strike."""
        blow = _Blow(
            fault=fault,
            seconds=self._exchange.faults.seconds_of(fault),
            exchange=self._exchange,
            stream=self._stream,
            listener=self._listener,
            request_seq=request_seq,
        )
        log.info("fault_struck", kind=str(fault.kind), fault_id=fault.fault_id, request_seq=request_seq)
        if fault.kind in _LASTS_BEYOND_ITS_STRIKE:
            fault.met += 1
            self._tasks.start(self._last(blow), name=f"fault {fault.fault_id}")
        elif await _BLOWS[fault.kind](blow):
            fault.met += 1

    async def _last(self, blow: _Blow) -> None:
        await _BLOWS[blow.fault.kind](blow)

    def _undo(self, fault: Fault) -> None:
        match fault.kind:
            case FaultKind.FREEZE_STREAM:
                for session in self._stream.sessions_of(fault.account):
                    session.freeze(0)
            case FaultKind.STALE_TICKER:
                self._exchange.stale_prices.end()
            case FaultKind.WRONG_CLOCK:
                self._exchange.wrong_clock.end()
            case FaultKind.MAINTENANCE if self._exchange.maintenance.reason == _reason(fault):
                self._exchange.set_available(True, reason=f"fault {fault.fault_id} withdrawn")
            case _:
                pass

"""The port: where connections come in, are reset on arrival, or are refused for a while."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

import structlog

from axisor.domain.errors import ConfigurationError
from axisor.paper.clock import epoch_us
from axisor.paper.exchange import PaperExchange
from axisor.paper.server.request_faults import send_reset_on_close

log = structlog.get_logger(__name__)

_LONGEST_FIRST_LINE: Final = 8_190
type Answerer = Callable[[], asyncio.Protocol]


class Listener:
    """Listens at one address and hands connections to `answer`; no fault resets one that asks for `spared_path`."""

    def __init__(self, exchange: PaperExchange, answer: Answerer, *, spared_path: str) -> None:
        self._exchange = exchange
        self._answer = answer
        self._spared_path = spared_path.encode()
        self._servers: list[asyncio.Server] = []
        self._silent: list[socket.socket] = []
        """Bound to the address and not listening: the port stays ours while connections are refused."""

    async def start(self, host: str, port: int) -> int:
        """Return the port at which connections are accepted from now on.

        Raises:
            ConfigurationError: the address cannot be used.
        """
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(self._protocol, host, port, backlog=128)
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        self._servers = [server]
        own_port: int = server.sockets[0].getsockname()[1]
        log.info("paper_exchange_listening", host=host, port=own_port)
        return own_port

    def stop(self) -> bool:
        """Refuse new connections, and return whether they were accepted before; open ones stay."""
        if not self._servers:
            return False
        addresses = [(each.family, each.getsockname()) for server in self._servers for each in server.sockets]
        for server in self._servers:
            server.close()
        self._silent = [_bound(family, address) for family, address in addresses]
        self._servers = []
        return True

    async def resume(self) -> None:
        """Accept connections again at the same address."""
        loop = asyncio.get_running_loop()
        while self._silent:
            bound = self._silent.pop()
            self._servers.append(await loop.create_server(self._protocol, sock=bound, backlog=128))

    def close(self) -> None:
        for server in self._servers:
            server.close()
        for bound in self._silent:
            bound.close()

    def _protocol(self) -> asyncio.Protocol:
        if self._exchange.faults.watches_connections():
            return _Gate(self._exchange, self._answer, spared_path=self._spared_path)
        return self._answer()


def _bound(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    """Return a socket that holds an address without listening, so that the kernel refuses who connects."""
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    bound.setblocking(False)
    bound.bind(address)
    return bound


class _Gate(asyncio.Protocol):
    """Reads the first line of a connection, then resets it or hands it on."""

    def __init__(self, exchange: PaperExchange, answer: Answerer, *, spared_path: bytes) -> None:
        self._exchange = exchange
        self._answer = answer
        self._spared_path = spared_path
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        assert transport is not None
        self._received += data
        if b"\n" not in self._received and len(self._received) < _LONGEST_FIRST_LINE:
            return
        target = self._received.split(b" ", 2)[1:2]
        is_spared = bool(target) and target[0].startswith(self._spared_path)
        faults, clock = self._exchange.faults, self._exchange.clock
        fault = None if is_spared else faults.meet_connection(now_s=clock.boottime_s())
        if fault is None:
            protocol = self._answer()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            protocol.data_received(self._received)
            return
        self._exchange.injections.record(fault, done="connection reset on arrival", at_ms=epoch_us(clock.now()) / 1000)
        log.info("fault_met", kind=str(fault.kind), fault_id=fault.fault_id)
        send_reset_on_close(transport)
        transport.abort()

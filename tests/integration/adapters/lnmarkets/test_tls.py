"""The exchange must prove who it is: a certificate that nobody vouches for gets no byte of ours."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.factories.venue_clients import a_client
from tests.factories.wire_trades import WIRE_TRADE_ID, a_wire_trade
from tests.fakes.venue_http import VenueServer, answer

from axisor.adapters.lnmarkets.auth import VenueClock
from axisor.adapters.lnmarkets.feeds import LnMarketsMarketFeed
from axisor.adapters.lnmarkets.stream import StreamConfig
from axisor.domain.commands import CloseTrade
from axisor.domain.units import TradeId
from axisor.infra.clock import SystemClock
from axisor.ports.exchange import AnswerKind
from axisor.ports.market_feed import FeedDown

CLOSE = CloseTrade(trade_id=TradeId(WIRE_TRADE_ID))


@dataclass(frozen=True)
class TlsVenue:
    venue: VenueServer
    certificate: Path

    @property
    def rest_url(self) -> str:
        return self.venue.rest_url.replace("http://", "https://")


def a_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that is signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=365 * 100))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


@pytest.fixture
async def tls_venue(tmp_path: Path) -> AsyncIterator[TlsVenue]:
    certificate_file, key_file = a_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate_file, key_file)
    venue = VenueServer()
    venue.will(answer(200, a_wire_trade()))
    server = await asyncio.start_server(venue.serve, "127.0.0.1", 0, ssl=context)
    venue.port = server.sockets[0].getsockname()[1]
    yield TlsVenue(venue, certificate_file)
    server.close()
    venue.drop_all()
    await server.wait_closed()


async def test_nothing_is_sent_to_an_exchange_that_nobody_vouches_for(tls_venue: TlsVenue) -> None:
    client = a_client(tls_venue.rest_url)
    answered = await client.send(client.sign(CLOSE), deadline_s=2)
    await client.close()
    assert (answered.kind, answered.reason) == (AnswerKind.NOT_PROCESSED, "tls_failed")
    assert tls_venue.venue.requests == []


async def test_an_exchange_that_is_vouched_for_is_spoken_to_on_one_warm_connection(tls_venue: TlsVenue) -> None:
    client = a_client(tls_venue.rest_url, tls=ssl.create_default_context(cafile=tls_venue.certificate))
    for _ in range(2):
        answered = await client.send(client.sign(CLOSE), deadline_s=2)
        assert answered.kind is AnswerKind.ACCEPTED
    await client.close()
    assert tls_venue.venue.connections == 1


async def test_the_stream_refuses_such_an_exchange_too(tls_venue: TlsVenue) -> None:
    clock = SystemClock()
    url = tls_venue.rest_url.replace("https://", "wss://")
    feed = LnMarketsMarketFeed(StreamConfig(url=url), clock=clock, venue_clock=VenueClock(clock))
    events = feed.stream()
    async with asyncio.timeout(3):
        event = await anext(events)
    await events.aclose()
    assert isinstance(event, FeedDown)
    assert event.reason == "connect_failed"
    assert tls_venue.venue.requests == []

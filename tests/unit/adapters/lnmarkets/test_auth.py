import copy
import pickle
from datetime import timedelta

import pytest
from tests.factories.venue_clients import CREDENTIALS
from tests.fakes.manual_clock import START, ManualClock

from axisor.adapters.lnmarkets.auth import Credentials, VenueClock, request_headers, sign_request, stream_auth_params

TIMESTAMP_MS = 1700000000000
CLOSED = "/v3/futures/isolated/trades/closed"
STOPLOSS = "/v3/futures/isolated/trade/stoploss"


@pytest.mark.parametrize(
    ("method", "path", "data", "signature"),
    [
        ("GET", "/v3/account", "", "ftdO9uG2dpnMbqpdkR+6xHEjTLBmhx4MiL4r6+iZEpI="),
        ("GET", CLOSED, "?limit=5&cursor=2026-01-01T00%3A00%3A00.000Z", "S5SWD6tCEISzvf77/6kFwRhXcug2z6RRyhUqo/ATT90="),
        (
            "GET",
            "/v3/account/deposits/lightning",
            "?from=2026-01-01T00%3A00%3A00.000Z&limit=1000&settled=true",
            "fM2rhuIeCddGOEj3FQd11khOeECRVHJZa0N0Pr3qdS4=",
        ),
        (
            "POST",
            "/v3/futures/isolated/trade",
            '{"leverage":10,"side":"buy","quantity":1000,"type":"market"}',
            "/F31/Guuaav8/k7qnYrBcqQ817xnIvqWOzLwEooIg6U=",
        ),
        (
            "POST",
            "/v3/futures/isolated/trade",
            '{"leverage":10,"quantity":1000,"side":"buy","type":"market"}',
            "Y9+zP6q+IHf+yzT2AhZDmZMxG5aBUy298wx7K2YJxbY=",
        ),
        ("POST", "/v3/futures/cross/position/close", "", "mgBO6DSBWcnvReK2il0nEb8oNvvdbeuOlwxi+TPwiEQ="),
        ("PUT", "/v3/futures/cross/leverage", '{"leverage":12}', "ebZA7/Jftcf+1GFw/RVV0WlfMsCjKxdiiaHBRoYyNzg="),
        (
            "DELETE",
            STOPLOSS,
            "?id=a6c4d2fa-8d5e-4a5b-9d0d-000000000001",
            "nIplHwKlFHwOUVxUBZ/ksw5NI6XAT/rBTrZVGUxCAy4=",
        ),
    ],
)
def test_a_rest_call_has_the_published_signature(method: str, path: str, data: str, signature: str) -> None:
    signed = sign_request(CREDENTIALS, timestamp_ms=TIMESTAMP_MS, method=method, path=path, data=data)
    assert signed == signature


def test_the_stream_signs_timestamp_and_nonce() -> None:
    params = stream_auth_params(CREDENTIALS, timestamp_ms=TIMESTAMP_MS, nonce="0011223344556677")
    assert params == {
        "key": "lnm_test_key",
        "signature": "YLad1qNypGs5pU3BXB5RzVvd+C1fKO9S8M4VBur8fsA=",
        "timestamp": TIMESTAMP_MS,
        "passphrase": "lnm_test_passphrase",
        "nonce": "0011223344556677",
    }


def test_signing_twice_gives_the_same_signature() -> None:
    first, second = (
        request_headers(CREDENTIALS, timestamp_ms=TIMESTAMP_MS, method="GET", path="/v3/account", data="")
        for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("show", [repr, str, lambda key: f"{key}"])
def test_a_key_never_shows_its_secrets(show: object) -> None:
    shown = show(Credentials("key-of-an-account-1234", "the-secret", "the-passphrase"))  # type: ignore[operator]  # three ways to show
    assert shown == "Credentials(key='…1234')"


def test_a_short_key_is_not_shown_at_all() -> None:
    assert repr(Credentials("1234", "the-secret", "the-passphrase")) == "Credentials(key='…')"


def test_a_copied_key_signs_alike() -> None:
    for twin in (copy.deepcopy(CREDENTIALS), pickle.loads(pickle.dumps(CREDENTIALS))):
        assert twin == CREDENTIALS
        assert twin.sign("x") == CREDENTIALS.sign("x")


def test_secrets_in_a_text_are_masked() -> None:
    assert CREDENTIALS.mask("bad lnm_test_secret of lnm_test_key") == "bad *** of ***"


def test_the_exchange_clock_is_ours_until_measured() -> None:
    clock = ManualClock()
    venue_clock = VenueClock(clock)
    assert not venue_clock.is_measured
    assert venue_clock.timestamp_ms() == int(START.timestamp() * 1000)


def test_the_exchange_clock_adds_the_measured_offset() -> None:
    clock = ManualClock()
    venue_clock = VenueClock(clock)
    venue_clock.measured(-1500.0)
    clock.advance(10)
    assert venue_clock.timestamp_ms() == int(START.timestamp() * 1000) + 10_000 - 1500


def test_the_exchange_clock_does_not_follow_a_step_of_ours() -> None:
    clock = ManualClock()
    venue_clock = VenueClock(clock)
    venue_clock.measured(250.0)
    clock.set_wall(START + timedelta(hours=1))
    clock.advance(5)
    assert venue_clock.timestamp_ms() == int(START.timestamp() * 1000) + 5_000 + 250
    assert venue_clock.offset_ms == pytest.approx(250 - 3_600_000)

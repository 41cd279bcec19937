import asyncio

import pytest
from tests.fixtures.processes import free_port

from axisor.domain.errors import ConfigurationError
from axisor.infra.engines import Engines
from axisor.infra.valkey import Heard, LinkDown, LinkUp, Nudges, Valkey, connect, listen, publish, redis_url


def test_valkey_addresses_are_understood_and_others_refused() -> None:
    assert redis_url("valkey://:pw@host:1/2") == "redis://:pw@host:1/2"
    assert redis_url("valkeys://host") == "rediss://host"
    with pytest.raises(ConfigurationError):
        redis_url("http://host")


async def test_messages_of_channels_and_patterns_are_heard(valkey: Valkey) -> None:
    events = listen(valkey, ("axisor:demo",), patterns=("axisor:changed:*",))
    assert await anext(events) == LinkUp()
    await valkey.publish("axisor:demo", "no json")
    await publish(valkey, "axisor:demo", {"a": 1})
    await publish(valkey, "axisor:changed:7", {"what": "rules"})
    assert await anext(events) == Heard(channel="axisor:demo", message={"a": 1})
    assert await anext(events) == Heard(
        channel="axisor:changed:7", message={"what": "rules"}, pattern="axisor:changed:*"
    )
    await events.aclose()


async def test_a_lost_link_is_told_and_mended(valkey: Valkey) -> None:
    events = listen(valkey, ("axisor:demo",))
    assert await anext(events) == LinkUp()
    await valkey.client_kill_filter(_type="pubsub")
    assert isinstance(await anext(events), LinkDown)
    assert await anext(events) == LinkUp()
    await publish(valkey, "axisor:demo", {})
    assert isinstance(await anext(events), Heard)
    await events.aclose()


async def test_a_nudge_to_nobody_is_no_failure(engines: Engines) -> None:
    gone = connect(f"valkey://127.0.0.1:{free_port()}/0", name="test")
    async with asyncio.timeout(8):
        assert await Nudges(gone).nudge("axisor:demo", {}) is False
    await gone.aclose()

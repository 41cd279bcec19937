"""What `axisor exchange` is told on the command line holds on the wire."""

from pathlib import Path

from tests.fixtures.exchange_process import exchange_process, speaking_to


async def test_rate_limits_and_the_signature_window_can_be_chosen(tmp_path: Path) -> None:
    options = ("--scenario", "manual", "--private-rate", "0.5", "--window", "5")
    with exchange_process(tmp_path, *options) as addresses:
        async with speaking_to(addresses) as server:
            assert (await server.call("GET", "/account", await server.create_account()))[0] == 200
            assert (await server.call("GET", "/account", await server.create_account(), age_s=4))[0] == 200
            keys = await server.create_account()
            assert (await server.call("GET", "/account", keys, age_s=6))[0] == 401
            assert (await server.call("GET", "/account", keys))[0] == 429


async def test_an_exchange_started_by_hand_says_its_addresses_and_nothing_else(tmp_path: Path) -> None:
    with exchange_process(tmp_path, "--scenario", "manual") as addresses:
        said = (tmp_path / "exchange.stdout").read_text().splitlines()
        assert said[:2] == [f"REST    {addresses.rest_url}", f"Stream  {addresses.stream_url}"]
        assert "axisor exchange account create" in said[-1]
    assert (tmp_path / "exchange.stderr").read_text() == ""

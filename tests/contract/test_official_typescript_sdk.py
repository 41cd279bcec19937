"""The official TypeScript SDKs walk the whole paper exchange, and every answer has the type they declare.

The walk is `tests/contract/typescript/walk.js`: the packages are used as published, only addresses are redirected.
"""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from tests.factories.seeded_account import START_USD, a_foreign_address
from tests.fixtures.exchange_process import exchange_process, speaking_to
from tests.fixtures.node import installed_project, node

WALK_DEADLINE_S: Final = 60
BALANCE_SATS: Final = 50_000_000


async def test_every_call_and_every_event_has_the_type_that_the_sdk_declares(tmp_path: Path) -> None:
    # A market with a past, for its candles; then it stands still, and the walk moves the price.
    with exchange_process(tmp_path, "--scenario", "calm", "--private-rate", "0", "--public-rate", "0") as addresses:
        async with speaking_to(addresses) as server:
            await server.control("POST", "/market/pause")
            await server.set_price(START_USD)
            keys = await server.create_account(username="walker", balance_sats=BALANCE_SATS)
            await server.create_account(username="friend")
            given = {
                "rest_url": addresses.rest_url,
                "stream_url": addresses.stream_url,
                "control_url": addresses.control_url,
                "control_token": addresses.control_token,
                "account_id": keys.account_id,
                "other_username": "friend",
                "address": a_foreign_address(),
                "keys": {"key": keys.key, "secret": keys.secret, "passphrase": keys.passphrase},
            }
            found = walk(given)
            books = await server.control("GET", "/books")
    assert found["problems"] == [], "\n".join(found["problems"])
    assert books["discrepancies"] == []


def walk(given: dict[str, Any]) -> dict[str, Any]:
    """Return what the walk called and heard, and where that was not as promised."""
    finished = subprocess.run(
        [node(), "walk.js"],
        cwd=installed_project(),
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=WALK_DEADLINE_S,
        check=False,
    )
    assert finished.stdout, finished.stderr
    found: dict[str, Any] = json.loads(finished.stdout)
    return found

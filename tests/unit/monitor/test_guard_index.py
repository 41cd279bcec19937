"""The index of the monitor, in objects and in arrays."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from axisor.domain.trades import PositionSide
from axisor.domain.units import ExchangeAccountId, Price, TradeId
from axisor.features.margin_guard.native import NativeTriggerIndex
from axisor.features.margin_guard.policy import WakeUps
from axisor.features.margin_guard.triggers import End
from axisor.monitor import machine_code
from axisor.monitor.guard_index import GuardIndex, TradeKey
from axisor.monitor.market import MarketState
from axisor.ports.market_feed import LastPrice

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def a_market(price: int) -> MarketState:
    market = MarketState(stale_after_s=5, use_quotes=True)
    assert market.take_price(LastPrice(at=NOON, floor=Price(price), ceil=Price(price), received_boottime_s=0))
    return market


def a_key(name: str) -> TradeKey:
    return ExchangeAccountId("account"), TradeId(name)


def an_end(price: int) -> End:
    return End(side=PositionSide.LONG, price=Price(price))


@pytest.mark.parametrize("in_arrays", [False, True])
def test_what_wakes_at_one_price_comes_the_nearest_to_its_end_first(in_arrays: bool) -> None:
    index = GuardIndex()
    if in_arrays:
        index.use(NativeTriggerIndex)
    for name, end in (("far", 90_000), ("near", 109_000), ("middle", 100_000)):
        index.put(a_key(name), WakeUps(at_or_below=Price(111_000)), bucket=None, end=an_end(end))
    due = list(index.due(a_market(110_000), 0))
    assert due == [a_key("near"), a_key("middle"), a_key("far")]


def test_moving_into_arrays_keeps_every_trigger_and_end() -> None:
    index = GuardIndex()
    for number in range(2_000):
        wake = WakeUps(at_or_below=Price(110_000 - number), at_or_above=Price(130_000 + number))
        index.put(a_key(str(number)), wake, bucket=number % 3 or None, end=an_end(90_000 + number))
    index.discard(a_key("7"))
    index.use(NativeTriggerIndex)
    assert len(index) == 1_999
    due = list(index.due(a_market(109_990), 0))
    assert due[0] in {a_key("10"), a_key("9"), a_key("8")}
    assert set(due) == {a_key(str(number)) for number in range(11) if number != 7}


def test_a_trade_that_moves_between_buckets_wakes_once() -> None:
    index = GuardIndex()
    index.use(NativeTriggerIndex)
    index.put(a_key("trade"), WakeUps(at_or_below=Price(111_000)), bucket=1)
    index.put(a_key("trade"), WakeUps(at_or_below=Price(111_000)), bucket=None)
    assert list(index.due(a_market(110_000), 0)) == [a_key("trade")]


async def test_machine_code_is_compiled_into_the_folder_and_read_from_it(tmp_path: Path) -> None:
    folder = tmp_path / "machine-code"
    make = await machine_code.load(folder)
    assert make is not None
    assert make.__name__ == "NativeTriggerIndex"
    assert list(folder.rglob("*.nbc"))
    assert folder.stat().st_mode & 0o077 == 0


async def test_without_machine_code_the_index_in_objects_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "packages" / "numba"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('no build for this machine')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(broken.parent), os.environ.get("PYTHONPATH", "")]))
    async with asyncio.timeout(60):
        assert await machine_code.load(tmp_path / "machine-code") is None

"""The benchmark of the paper exchange runs, and what it measures is there; how fast is for its own runs to say."""

from benchmarks.paper_exchange_load import SMALL, run


async def test_every_price_point_reaches_every_client_and_every_level_in_time() -> None:
    load = (await run(SMALL, only="load"))["load"]
    assert load["frames"]["fewest_of_a_client"] > 0
    assert load["ends"]["in_a_later_tick"] == 0
    assert load["funding_settlement"]["settlement_ms"]["n"] == 1
    assert set(load["requests"]["statuses"]) == {200}
    assert load["books"]["discrepancies"] == 0


async def test_the_index_ends_what_a_look_at_every_trade_finds() -> None:
    assert (await run(SMALL, only="matching"))["matching"]["index_us"]["n"] == 300


async def test_simulated_days_are_played_and_the_books_balance() -> None:
    week = (await run(SMALL, only="week"))["week"]
    assert week["simulated_days"] >= SMALL.week_days
    assert week["rss_mib"]["day 7"] > 0
    assert week["discrepancies"] == 0

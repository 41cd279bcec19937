"""Recorded nights, as the cards of the presets show them."""

import pytest
from tests.fixtures.api import ApiHarness

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_card_names_the_nearest_leverage_and_what_else_one_could_do(api: ApiHarness) -> None:
    page = await api.a_page()
    answer = await page.get("/api/v1/guard/nights", params={"preset": "hold", "leverage": "24.6", "limit_margins": "1"})
    assert answer.status_code == 200, answer.text
    card = answer.json()
    assert (card["preset"], card["leverage"], card["limit_margins"], card["nights"]) == ("hold", 25, 1.0, 100)
    assert (card["died_unguarded"], card["acted"], card["saved"], card["raises_mean"]) == (15, 34, 11, False)
    assert [other["name"] for other in card["against"]] == ["plain_stop", "limit_at_entry"]
    assert card["source"] == "2018 Bitfinex minutes, 10-hour nights"


async def test_where_nothing_near_was_simulated_there_is_no_card(api: ApiHarness) -> None:
    page = await api.a_page()
    answer = await page.get("/api/v1/guard/nights", params={"preset": "hold", "leverage": 100})
    assert (answer.status_code, answer.json()) == (200, None)


async def test_an_unknown_preset_is_refused(api: ApiHarness) -> None:
    page = await api.a_page()
    answer = await page.get("/api/v1/guard/nights", params={"preset": "balanced", "leverage": 25})
    assert answer.status_code == 422


async def test_a_card_is_for_who_is_signed_in(api: ApiHarness) -> None:
    answer = await api.a_browser().get("/api/v1/guard/nights", params={"preset": "hold", "leverage": 25})
    assert answer.status_code == 401

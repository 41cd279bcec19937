"""Every sentence of an explanation has words in both languages, and its figures leave in the wire's units."""

import json
from pathlib import Path
from typing import Any

import pytest

from axisor.api.explanation import sentence_of
from axisor.features.execution.attempts import AttemptState
from axisor.features.margin_guard.coverage import RED, ReasonCode
from axisor.features.margin_guard.deeds import HoldReason
from axisor.features.margin_guard.take_back import KeepReason

LOCALES = Path(__file__).resolve().parents[3] / "web" / "src" / "locales"
ACTIONS = (
    "add_margin",
    "warn",
    "move_stop",
    "close",
    "close_one",
    "reopen",
    "open_again",
    "cash_in",
    "swap",
    "deposit",
    "take_back",
    "cross_deposit",
    "cross_order",
    "refuse",
)
"""What the ledger calls the deeds of the guard."""
BLIND = RED - {ReasonCode.NO_RULE}
"""What an account's data may lack so that nothing is done."""
SECOND_SEND: dict[str, Any] = {"outcome": {"is_second_send": True}}


def words(language: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((LOCALES / f"{language}.json").read_text())
    return found


@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_every_sentence_has_words(language: str) -> None:
    known = words(language)
    codes = {sentence_of(action, "top_up", {}).code for action in ACTIONS}
    codes |= {sentence_of("add_margin", "top_up", SECOND_SEND).code, sentence_of("close_trade", "requested", {}).code}
    codes |= {sentence_of("outcome", state.value, {}).code for state in AttemptState if state is not AttemptState.SENT}
    codes |= {sentence_of("hold", reason.value, {}).code for reason in HoldReason}
    codes |= {sentence_of("keep", reason.value, {}).code for reason in KeepReason}
    assert codes - set(known["why"]["sentence"]) - set(known["words"]["reason"]) == set()


@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_everything_that_stands_in_the_way_has_words(language: str) -> None:
    known = words(language)["why_not"]
    blocks = {reason.value for reason in HoldReason} | {code.value for code in BLIND}
    assert blocks | {"not_ready", "no_balance_other_sources"} <= set(known["block"])
    nexts = {code.value for code in BLIND} | {"acting", "price", "time", "balance", "nothing", "price_unknown"}
    assert nexts | {"not_running", "not_guarded", "closing"} <= set(known["next"])


def test_a_top_up_says_where_liquidation_goes() -> None:
    said = sentence_of(
        "add_margin",
        "top_up",
        {
            "facts": {
                "trigger_price": 121_768,
                "trade": {
                    "side": "long",
                    "quantity_usd": 6_200,
                    "price": 124_000,
                    "margin_sats": 400_000,
                    "liquidation_price": 119_231,
                },
            },
            "decision": {"room_share": "1/2"},
            "outcome": {"amount_sats": 209_001, "is_second_send": False},
        },
    )
    assert said.code == "add_margin"
    assert (said.data["price"], said.data["room_share"], said.data["amount_sats"]) == (60_884.0, 0.5, 209_001)
    assert said.data["old_liquidation_price"] == 59_615.5
    assert said.data["new_liquidation_price"] == 58_441.0


def test_a_stop_that_did_not_stand_was_set_and_another_was_moved() -> None:
    outcome = {"outcome": {"stop_price": 119_800}}
    assert (
        sentence_of("move_stop", "place", {"facts": {"trade": {"stop_loss_price": None}}} | outcome).code == "stop_set"
    )
    moved = sentence_of("move_stop", "follow", {"facts": {"trade": {"stop_loss_price": 119_000}}} | outcome)
    assert (moved.code, moved.data["old_stop_price"], moved.data["new_stop_price"]) == (
        "stop_moved",
        59_500.0,
        59_900.0,
    )


def test_what_is_not_known_is_null() -> None:
    said = sentence_of("add_margin", "top_up", {})
    assert set(said.data.values()) == {None}

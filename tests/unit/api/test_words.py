"""What happens, in words, for a terminal."""

from datetime import UTC, datetime
from typing import Any

import pytest

from axisor.api.words import Language, language_of, line_of
from axisor.features.notifications.events import ActivityKind

AT = datetime(2026, 3, 1, 14, 2, 7, tzinfo=UTC)
RESCUE = {
    "label": "25x long",
    "price": 60_784.5,
    "room_share": 0.4999,
    "amount_sats": 208_000,
    "old_liquidation_price": 59_615.5,
    "new_liquidation_price": 58_446.5,
    "tick_to_request_ms": 9.0,
    "tick_to_confirmed_ms": 41,
}
FORBIDDEN = ("rung", "arming", "intent", "fence", "outbox", "hysteresis")


def line(kind: ActivityKind, data: dict[str, Any], language: Language = "en", **options: Any) -> str:
    return line_of(kind, data, at=AT, language=language, zone=UTC, **options)


def test_a_rescue_reads_as_promised() -> None:
    assert line(ActivityKind.RESCUE_CONFIRMED, RESCUE) == (
        "14:02:07  60 784.5  25x long: room 50 % → added 208 000 sat · liquidation 59 615.5 → 58 446.5 "
        "· 9 ms to send, 41 ms proven"
    )


def test_a_rescue_reads_in_portuguese() -> None:
    assert line(ActivityKind.RESCUE_CONFIRMED, RESCUE, "pt") == (
        "14:02:07  60 784,5  25x long: folga 50 % → reforço de 208 000 sat · liquidação 59 615,5 → 58 446,5 "
        "· 9 ms até o envio, 41 ms até a prova"
    )


def test_a_loss_keeps_its_sign_and_an_unguarded_trade_says_so() -> None:
    data = {"label": "50x long", "close_reason": "liquidation", "exit_price": 60_784.5, "result_sats": -319_289}
    assert line(ActivityKind.TRADE_CLOSED, data, is_guarded=False) == (
        "14:02:07  60 784.5  50x long (no guard): LIQUIDATED · result −319 289 sat"
    )


@pytest.mark.parametrize("language", ["en", "pt"])
@pytest.mark.parametrize("kind", list(ActivityKind))
def test_every_kind_has_words_even_where_figures_are_missing(kind: ActivityKind, language: Language) -> None:
    for data in ({}, RESCUE, dict.fromkeys(RESCUE)):
        text = line(kind, data, language)
        assert len(text) > len("14:02:07  ")
        assert "None" not in text
        assert not any(word in text.lower() for word in FORBIDDEN)


@pytest.mark.parametrize(
    ("tag", "language"), [("pt_BR.UTF-8", "pt"), ("pt-BR,en;q=0.8", "pt"), ("C.UTF-8", "en"), ("", "en"), (None, "en")]
)
def test_the_language_follows_the_locale(tag: str | None, language: Language) -> None:
    assert language_of(tag) == language

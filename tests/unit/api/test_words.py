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


SEEN = {
    "label": "25x long",
    "side": "long",
    "entry_price": 62_000,
    "margin_sats": 400_000,
    "preset": "hold",
    "may_spend_sats": 400_000,
    "covered_to_price": 57_674,
    "shortfall_sats": None,
    "short_of": None,
    "asked_preset": "hold",
    "suggested_preset": None,
}


def test_a_new_trade_is_told_with_what_its_guard_may_spend_and_how_far_it_covers() -> None:
    told = line(ActivityKind.TRADE_SEEN, SEEN)
    assert told.endswith("new long at 62 000, 400 000 sat; guard: Hold, may spend 400 000 sat; covers to 57 674")
    short = line(ActivityKind.TRADE_SEEN, SEEN | {"shortfall_sats": 250_000, "short_of": "balance"}, "pt")
    assert short.endswith("cobre até 57 674. Faltam 250 000 sat: o saldo livre não os tem")


def test_a_preset_that_does_not_suit_a_new_trade_is_told_with_what_would() -> None:
    given = SEEN | {"preset": "watch", "may_spend_sats": 0, "suggested_preset": "cut"}
    told = line(ActivityKind.TRADE_SEEN, given)
    assert "guard: Watch; covers to" in told
    assert told.endswith("Hold is not offered above 50x, a top-up would come too late; Cut would close in time")
    assert "Segurar não é oferecido acima de 50x" in line(ActivityKind.TRADE_SEEN, given, "pt")


@pytest.mark.parametrize(
    ("data", "en", "pt"),
    [
        ({"preset": "cut", "scope": "trade"}, "rule changed: Cut", "regra alterada: Cortar"),
        ({"preset": "hold", "scope": "user"}, "for all accounts: Hold", "para todas as contas: Segurar"),
        ({"preset": None, "scope": "account"}, "for the account: none of its own", "para a conta: nenhuma própria"),
        ({"preset": "cut", "scope": "cross"}, "for the cross position: Cut", "para a posição cruzada: Cortar"),
        ({"preset": None, "is_guarded": False}, "not guarded any more", "sem guarda a partir de agora"),
    ],
)
def test_a_change_of_a_rule_names_its_scope(data: dict[str, Any], en: str, pt: str) -> None:
    assert en in line(ActivityKind.RULE_CHANGED, data)
    assert pt in line(ActivityKind.RULE_CHANGED, data, "pt")

"""Planted contradictions are found, all of them; sound rules raise no alarm."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import pytest
from tests.factories.guard import TOP_UP, WARN, a_rule, spending
from tests.factories.prices import at
from tests.factories.trades import a_running_trade

from axisor.domain.contract import FEE_RATES
from axisor.domain.trades import PositionSide, Trade
from axisor.domain.units import Price, RuleId
from axisor.features.margin_guard.conflicts import Conflict, ConflictKind, find_conflicts
from axisor.features.margin_guard.rule import Close, GuardRule, Notify, Preset, Rung, TopUp, preset_rule
from axisor.features.margin_guard.steps import (
    AtConsumed,
    AtDistance,
    AtMarginRatio,
    AtPrice,
    Reduce,
    ReduceHow,
    TopUpSats,
    TopUpShare,
    TopUpTo,
)

SHORT = PositionSide.SHORT
ENTRY = at(62_000)
CUT = Rung(key="cut", room_share=Fraction(35, 100), action=Close())
EARLY_CUT = Rung(key="cut", room_share=Fraction(55, 100), action=Close())


def close_at(usd: str) -> Rung:
    return Rung(key="cut", trigger=AtPrice(at(usd)), action=Close())


def top_up_at(usd: str) -> Rung:
    return Rung(key="low", trigger=AtPrice(at(usd)), action=TopUp(Fraction(1)))


@dataclass(frozen=True)
class Case:
    name: str
    rule: GuardRule
    kinds: tuple[ConflictKind, ...] = ()
    trade: Trade = field(default_factory=a_running_trade)
    price: Price = ENTRY
    purse: dict[str, Any] = field(default_factory=dict)
    user_stop: Price | None = None

    def found(self) -> list[Conflict]:
        return find_conflicts(
            self.trade,
            self.rule,
            spending(**self.purse),
            price=self.price,
            fee_rate=FEE_RATES[0],
            user_stop_price=self.user_stop,
        )


K = ConflictKind
PLANTED = [
    Case("the owner's stop lies above the top-up", a_rule(), (K.STOP_BEFORE_STEP,), user_stop=at(61_500)),
    Case(
        "the owner's stop lies below a short's top-up",
        a_rule(),
        (K.STOP_BEFORE_STEP,),
        trade=a_running_trade(side=SHORT),
        user_stop=at(62_500),
    ),
    Case("a step at a price behind the safety stop", a_rule(WARN, top_up_at("59700")), (K.STOP_BEFORE_STEP,)),
    Case(
        "a take-profit below the entry of a long",
        a_rule(),
        (K.TAKE_PROFIT_BEHIND_ENTRY,),
        trade=a_running_trade(take_profit_price=at(61_900)),
    ),
    Case(
        "a take-profit above the entry of a short",
        a_rule(),
        (K.TAKE_PROFIT_BEHIND_ENTRY,),
        trade=a_running_trade(side=SHORT, take_profit_price=at(62_100)),
    ),
    Case("giving up above the top-up", a_rule(give_up_price=at(61_000)), (K.GIVE_UP_BEFORE_STEP,)),
    Case("a close before the top-up", a_rule(WARN, EARLY_CUT, TOP_UP), (K.CLOSE_BEFORE_STEP,)),
    Case("a close at a price before the top-up", a_rule(close_at("61000"), TOP_UP), (K.CLOSE_BEFORE_STEP,)),
    Case("a close half a dollar after the top-up", a_rule(TOP_UP, close_at("60784")), (K.TOP_UP_IN_VAIN,)),
    Case("a close before the first liquidation price", a_rule(TOP_UP, close_at("59950")), (K.TOP_UP_IN_VAIN,)),
    Case("giving up where the stop would not have been yet", a_rule(give_up_price=at(60_000)), (K.TOP_UP_IN_VAIN,)),
    Case("no sats for the step", a_rule(position_sats=0), (K.LIMITS_BEFORE_STEP,)),
    Case("no top-up allowed", a_rule(max_count=0), (K.LIMITS_BEFORE_STEP,)),
    Case("nothing allowed in a day", a_rule(account_day_sats=0), (K.LIMITS_BEFORE_STEP,)),
    Case(
        "the first step takes all that the second could spend",
        a_rule(TOP_UP, Rung(key="near", room_share=Fraction(30, 100), action=TopUp(Fraction(1)))),
        (K.LIMITS_BEFORE_STEP,),
    ),
    Case(
        "a step behind liquidation, without a stop",
        a_rule(WARN, top_up_at("59000"), stop_share=None),
        (K.NEVER_REACHED,),
    ),
    Case("the price has passed the top-up", a_rule(), (K.FIRES_AT_ONCE,), price=at(60_700)),
    Case(
        "the price has passed the give-up price",
        a_rule(WARN, give_up_price=at(61_000)),
        (K.FIRES_AT_ONCE,),
        price=at(61_000),
    ),
]


def preset(kind: Preset, leverage: int = 25) -> GuardRule:
    return preset_rule(kind, rule_id=RuleId("r"), leverage=Fraction(leverage), entry_margin_sats=400_000)


SMALL = Rung(key="far", room_share=Fraction(60, 100), action=TopUp(Fraction(70, 100)))
SOUND = [
    *[Case(kind.value, preset(kind)) for kind in (Preset.WATCH, Preset.HOLD, Preset.HOLD_LONGER, Preset.CUT)],
    *[
        Case(f"short {kind.value}", preset(kind), trade=a_running_trade(side=SHORT))
        for kind in (Preset.WATCH, Preset.HOLD, Preset.HOLD_LONGER, Preset.CUT)
    ],
    Case("a top-up and, far behind it, a close", a_rule(WARN, TOP_UP, CUT)),
    Case("a ladder of two", a_rule(SMALL, Rung(key="near", room_share=Fraction(30, 100), action=TopUp(Fraction(1))))),
    Case("giving up behind the first liquidation price", a_rule(give_up_price=at(58_500))),
    Case("an owner's stop far below", a_rule(), user_stop=at(58_500)),
    Case("a take-profit in profit", a_rule(), trade=a_running_trade(take_profit_price=at(63_000))),
    Case("a distance", a_rule(Rung(key="t", trigger=AtDistance(Fraction(2, 100)), action=TopUpTo(Fraction(4, 100))))),
    Case("half of the way", a_rule(Rung(key="t", trigger=AtConsumed(Fraction(1, 2)), action=TopUpSats(100_000)))),
    Case(
        "a margin ratio",
        a_rule(Rung(key="t", trigger=AtMarginRatio(Fraction(1, 20)), action=TopUpShare(Fraction(1, 2)))),
    ),
    Case("a close at a price alone", a_rule(WARN, close_at("60500"))),
    Case(
        "smaller, reopened",
        a_rule(Rung(key="r", room_share=Fraction(1, 2), action=Reduce(Fraction(1, 2), ReduceHow.REOPEN))),
    ),
    Case("a word behind the stop", a_rule(TOP_UP, Rung(key="last", room_share=Fraction(5, 100), action=Notify()))),
    Case("poor, which is no contradiction", a_rule(), purse={"balance_sats": 0}),
    Case("spending stopped for now", a_rule(), purse={"is_stopped": True}),
]


@pytest.mark.parametrize("case", PLANTED, ids=lambda case: case.name)
def test_a_planted_contradiction_is_found_with_prices_that_show_it(case: Case) -> None:
    found = case.found()
    assert tuple(conflict.kind for conflict in found) == case.kinds
    for conflict in found:
        assert len(conflict.path) >= 2
        assert case.price in {point.price for point in conflict.path}


@pytest.mark.parametrize("case", SOUND, ids=lambda case: case.name)
def test_a_sound_rule_raises_no_alarm(case: Case) -> None:
    assert case.found() == []


def test_the_path_of_a_close_in_vain_names_both_steps_in_order() -> None:
    (conflict,) = Case("", a_rule(TOP_UP, close_at("60784"))).found()
    assert [(point.price, point.what, point.rung) for point in conflict.path] == [
        (ENTRY, "save", None),
        (at("60784.5"), "top_up", "top_up"),
        (at("60784"), "close", "cut"),
    ]
    assert conflict.rungs == ("top_up", "cut")


def test_what_a_step_waits_for_is_named_where_it_fires_at_once() -> None:
    trade = replace(a_running_trade(), entry_price=None)
    (conflict,) = Case("", a_rule(), trade=trade, price=at(60_700)).found()
    assert conflict.rungs == ("top_up",)
    assert conflict.path[0].price == at("60784.5")

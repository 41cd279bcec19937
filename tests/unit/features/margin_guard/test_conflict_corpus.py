"""A corpus of planted contradictions of every kind, and of sound rules: all of the first, none of the second."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest
from tests.factories.guard import WARN, a_rule, spending
from tests.factories.trades import ENTRY_PRICE, a_running_trade

from axisor.domain.contract import FEE_RATES
from axisor.domain.margin import initial_margin_sats
from axisor.domain.trades import PositionSide, Trade
from axisor.domain.units import Price, RuleId, TradeId
from axisor.features.margin_guard.conflicts import Conflict, ConflictKind, find_conflicts
from axisor.features.margin_guard.deeds import OtherTrade
from axisor.features.margin_guard.marks import full_room, mark_price
from axisor.features.margin_guard.rule import HOLD_MAX_LEVERAGE, Close, GuardRule, Preset, Rung, TopUp, preset_rule
from axisor.features.margin_guard.steps import AtPrice, Reduce, ReduceHow, TopUpSats

K = ConflictKind
LEVERAGES = (5, 10, 25, 50)
PRESET_LEVERAGES = (5, 7, 10, 15, 20, 25, 35, 50)
HIGH_LEVERAGES = (75, 100)
TOP_UP = Rung(key="top_up", room_share=Fraction(1, 2), action=TopUp(Fraction(1)))
PLENTY_SATS = 100_000_000


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    trade: Trade
    rule: GuardRule
    kinds: frozenset[ConflictKind] = frozenset()
    price: Price | None = None
    user_stop: Price | None = None
    others: tuple[OtherTrade, ...] = ()

    def found(self) -> list[Conflict]:
        return find_conflicts(
            self.trade,
            self.rule,
            spending(balance_sats=PLENTY_SATS),
            price=self.trade.price if self.price is None else self.price,
            fee_rate=FEE_RATES[0],
            others=self.others,
            user_stop_price=self.user_stop,
        )


def a_trade(side: PositionSide, leverage: int) -> Trade:
    margin_sats = initial_margin_sats(quantity_usd=6_200, price=ENTRY_PRICE, leverage=Fraction(leverage))
    return a_running_trade(side=side, margin_sats=margin_sats)


def at_share(trade: Trade, hundredths: int) -> Price:
    """Return the price at which so much of full room is left."""
    return mark_price(trade, share=Fraction(hundredths, 100), full=full_room(trade))


def beyond(trade: Trade, price: Price, ticks: int = 1) -> Price:
    """Return the price so many ticks further toward liquidation."""
    return Price(price - trade.side.sign * ticks)


def hold(trade: Trade, **changes: object) -> GuardRule:
    margin_sats = trade.margin_sats
    return replace(a_rule(WARN, TOP_UP, position_sats=margin_sats), **changes)  # type: ignore[arg-type] # any field


def planted_on(trade: Trade, label: str) -> Iterator[Case]:
    top_up = at_share(trade, 50)
    behind_liquidation = beyond(trade, trade.liquidation_price, 2)

    def case(name: str, rule: GuardRule, *kinds: ConflictKind, **more: object) -> Case:
        given: dict[str, object] = {"trade": trade} | more
        return Case(name=f"{label}: {name}", rule=rule, kinds=frozenset(kinds), **given)  # type: ignore[arg-type] # any

    yield case("the owner's stop before the top-up", hold(trade), K.STOP_BEFORE_STEP, user_stop=at_share(trade, 70))
    yield case("give-up before the top-up", hold(trade, give_up_price=at_share(trade, 70)), K.GIVE_UP_BEFORE_STEP)
    early = Rung(key="cut", room_share=Fraction(80, 100), action=Close())
    yield case("a close before the top-up", a_rule(early, TOP_UP, position_sats=trade.margin_sats), K.CLOSE_BEFORE_STEP)
    smaller = Rung(key="less", room_share=Fraction(80, 100), action=Reduce(Fraction(1, 2), ReduceHow.REOPEN))
    yield case("reopened before the top-up", a_rule(smaller, TOP_UP), K.CLOSE_BEFORE_STEP)
    at_price = Rung(key="low", trigger=AtPrice(behind_liquidation), action=Close())
    yield case("a step behind liquidation", a_rule(WARN, at_price, stop_share=None), K.NEVER_REACHED)
    yield case("no sats for its step", a_rule(WARN, TOP_UP, position_sats=0), K.LIMITS_BEFORE_STEP)
    yield case("no top-up allowed", a_rule(WARN, TOP_UP, max_count=0), K.LIMITS_BEFORE_STEP)
    at_once = Rung(key="cut", trigger=AtPrice(beyond(trade, top_up, 2)), action=Close())
    in_vain = a_rule(TOP_UP, at_once, position_sats=trade.margin_sats)
    yield case("a close right behind the top-up", in_vain, K.TOP_UP_IN_VAIN)
    take_profit = replace(trade, take_profit_price=beyond(trade, trade.price, 100))
    yield case("a take-profit behind entry", hold(trade), K.TAKE_PROFIT_BEHIND_ENTRY, trade=take_profit)
    yield case("its mark passed already", hold(trade), K.FIRES_AT_ONCE, price=beyond(trade, top_up))
    giving_up = hold(trade, give_up_price=at_share(trade, 30))
    yield case("giving up before it can help", giving_up, K.TOP_UP_IN_VAIN)


def sound_presets() -> Iterator[Case]:
    for side in PositionSide:
        for kind in (Preset.WATCH, Preset.HOLD, Preset.HOLD_LONGER, Preset.CUT):
            spends = kind in {Preset.HOLD, Preset.HOLD_LONGER}
            for leverage in (*PRESET_LEVERAGES, *(() if spends else HIGH_LEVERAGES)):
                assert not spends or leverage <= HOLD_MAX_LEVERAGE
                trade = a_trade(side, leverage)
                rule = preset_rule(
                    kind,
                    rule_id=RuleId("r"),
                    leverage=Fraction(leverage),
                    entry_margin_sats=trade.margin_sats,
                )
                yield Case(name=f"{side.value} {leverage}x {kind.value}", trade=trade, rule=rule)


def sound_by_hand() -> Iterator[Case]:
    for side in PositionSide:
        for leverage in LEVERAGES:
            trade = a_trade(side, leverage)
            label = f"{side.value} {leverage}x"
            in_profit = replace(trade, take_profit_price=Price(trade.price + side.sign * 1_000))
            yield Case(name=f"{label}: a take-profit in profit", trade=in_profit, rule=hold(trade))
            yield Case(
                name=f"{label}: an owner's stop behind the top-up's new liquidation",
                trade=trade,
                rule=hold(trade),
                user_stop=beyond(trade, trade.liquidation_price, 20),
            )
            small = Rung(
                key="first", room_share=Fraction(60, 100), action=TopUpSats(max(2_000, trade.margin_sats // 10))
            )
            last = Rung(key="last", room_share=Fraction(20, 100), action=Close())
            yield Case(
                name=f"{label}: little, then more, then out",
                trade=trade,
                rule=a_rule(WARN, TOP_UP, last, position_sats=trade.margin_sats)
                if leverage > 10
                else a_rule(small, last, position_sats=trade.margin_sats),
            )
            other = OtherTrade(
                trade_id=TradeId("0197f0aa-0000-7000-8000-0000000000ff"),
                side=side,
                quantity_usd=3_100,
                liquidation_price=trade.liquidation_price,
            )
            yield Case(
                name=f"{label}: one of two closed, then a top-up",
                trade=trade,
                rule=a_rule(
                    Rung(key="less", room_share=Fraction(70, 100), action=Reduce(Fraction(1, 3))),
                    TOP_UP,
                    position_sats=trade.margin_sats,
                ),
                others=(other,),
            )


def each_trade(of: Callable[[Trade, str], Iterator[Case]]) -> list[Case]:
    return [
        case
        for side in PositionSide
        for leverage in LEVERAGES
        for case in of(a_trade(side, leverage), f"{side.value} {leverage}x")
    ]


PLANTED = each_trade(planted_on)
SOUND = [*sound_presets(), *sound_by_hand()]


def test_every_planted_contradiction_is_found_and_shown_by_its_prices() -> None:
    missed = []
    for case in PLANTED:
        found = case.found()
        if not case.kinds <= {conflict.kind for conflict in found}:
            missed.append((case.name, [conflict.kind.value for conflict in found]))
        for conflict in found:
            assert len({point.price for point in conflict.path}) >= 2, case.name
    assert missed == []
    assert len(PLANTED) >= 40
    assert {kind for case in PLANTED for kind in case.kinds} == set(ConflictKind)


def test_beside_the_planted_contradiction_nothing_else_is_alleged() -> None:
    beside = {
        case.name: [conflict.kind.value for conflict in found if conflict.kind not in case.kinds]
        for case in PLANTED
        if len(found := case.found()) != len(case.kinds)
    }
    assert {name: kinds for name, kinds in beside.items() if kinds} == {}


def test_sound_rules_raise_no_false_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    alarms = Counter({case.name: len(case.found()) for case in SOUND})
    false = sum(1 for count in alarms.values() if count)
    with capsys.disabled():
        print(  # noqa: T201 - the count is asked for
            f"\nconflicts: {len(PLANTED)} planted, all found; {false} false alarms in {len(SOUND)} sound rules"
        )
    assert len(alarms) == len(SOUND) >= 60
    assert false == 0, [name for name, count in alarms.items() if count]

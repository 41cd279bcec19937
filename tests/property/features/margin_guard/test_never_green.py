"""Whatever is missing, alone or with other things, the meter is not green and names it; with nothing missing it is."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories.guard import NOW, a_rule, spending
from tests.factories.trades import a_running_trade

from axisor.domain.contract import FEE_RATES
from axisor.domain.units import Price
from axisor.features.margin_guard.conduct import CONDUCT
from axisor.features.margin_guard.coverage import (
    AccountCoverage,
    CoverageState,
    Position,
    ReasonCode,
    account_coverage,
    reason,
)
from axisor.features.margin_guard.marks import full_room
from axisor.features.margin_guard.policy import desired_stop_price


@dataclass(frozen=True, slots=True)
class Lack:
    """One thing that is missing for a position, and the names by which the meter may call it."""

    spoil: Callable[[Position], Position]
    names: frozenset[ReasonCode]


def of_purse(**changes: Any) -> Callable[[Position], Position]:
    return lambda position: replace(position, spending=replace(position.spending, **changes))


def without_stop(position: Position) -> Position:
    return replace(position, trade=replace(position.trade, stop_loss_price=None), own_stop_price=None)


LACKS: Final = {
    "price": Lack(lambda position: replace(position, price=None), frozenset({ReasonCode.PRICE_STALE})),
    "rule": Lack(lambda position: replace(position, rule=None), frozenset({ReasonCode.NO_RULE})),
    "outcome": Lack(
        lambda position: replace(position, is_outcome_unknown=True), frozenset({ReasonCode.OUTCOME_UNKNOWN})
    ),
    "funding": Lack(
        lambda position: replace(position, is_funding_explained=False), frozenset({ReasonCode.FUNDING_UNEXPLAINED})
    ),
    "stop": Lack(without_stop, frozenset({ReasonCode.STOP_MISSING})),
    "removed stop": Lack(
        lambda position: replace(position, trade=replace(position.trade, stop_loss_price=None)),
        frozenset({ReasonCode.STOP_REMOVED, ReasonCode.STOP_MISSING}),
    ),
    "balance": Lack(of_purse(balance_sats=None), frozenset({ReasonCode.ACCOUNT_UNREAD})),
    "sats": Lack(of_purse(balance_sats=1), frozenset({ReasonCode.LOW_BALANCE, ReasonCode.ACCOUNT_UNREAD})),
    "limit": Lack(of_purse(position_spent_sats=400_000), frozenset({ReasonCode.LIMIT_USED})),
    "leave to spend": Lack(of_purse(is_stopped=True), frozenset({ReasonCode.SPENDING_STOPPED})),
}
HIDDEN_BY: Final = {
    # Without a rule nothing else is promised; where spending is stopped no purse is looked into; one sat is a balance;
    # where the limit is used up no sat is needed.
    "rule": set(LACKS) - {"rule"},
    "leave to spend": {"balance", "sats", "limit"},
    "sats": {"balance"},
    "limit": {"sats"},
}


def sound() -> Position:
    """Return the 25x long at 62,000 with everything that it needs."""
    trade = a_running_trade()
    rule = a_rule()
    assert rule.stop_share is not None
    stop = desired_stop_price(trade, stop_share=rule.stop_share, full=full_room(trade))
    return Position(
        trade=replace(trade, stop_loss_price=stop),
        rule=rule,
        spending=spending(),
        price=Price(124_000),
        fee_rate=FEE_RATES[0],
        added_sats=0,
        own_stop_price=stop,
        read_at=NOW,
    )


def meter(
    position: Position, *problems: ReasonCode, needs_drill: bool = False, drilled_until_s: float | None = None
) -> AccountCoverage:
    return account_coverage(
        [position],
        is_guarded=True,
        problems=[reason(code) for code in problems],
        needs_drill=needs_drill,
        drilled_until=None if drilled_until_s is None else NOW + timedelta(seconds=drilled_until_s),
        now=NOW,
    )


def test_with_nothing_missing_it_is_green() -> None:
    found = meter(sound(), needs_drill=True, drilled_until_s=1)

    assert found.total.state is CoverageState.GREEN
    assert found.total.reasons == ()


@settings(deadline=None)
@given(
    missing=st.sets(st.sampled_from(sorted(LACKS))),
    problems=st.sets(st.sampled_from(sorted([*CONDUCT, ReasonCode.MONITOR_SILENT]))),
    is_drill_missing=st.booleans(),
)
def test_whatever_is_missing_it_is_not_green_and_names_it(
    missing: set[str], problems: set[ReasonCode], is_drill_missing: bool
) -> None:
    position = sound()
    for name in sorted(missing):
        position = LACKS[name].spoil(position)

    found = meter(position, *sorted(problems), needs_drill=is_drill_missing)

    coverage = found.positions[position.trade_id]
    named = {item.code for item in coverage.reasons}
    assert (coverage.state is CoverageState.GREEN) == (not missing and not problems and not is_drill_missing)
    assert (found.total.state is CoverageState.GREEN) == (coverage.state is CoverageState.GREEN)
    assert problems <= named
    assert not is_drill_missing or ReasonCode.DRILL_OLD in named
    hidden = set().union(*(HIDDEN_BY.get(name, set()) for name in missing))
    for name in missing - hidden:
        assert LACKS[name].names & named, f"{name} is not named in {named}"


@pytest.mark.parametrize("name", LACKS)
def test_each_lack_alone_is_named_alone(name: str) -> None:
    found = meter(LACKS[name].spoil(sound()))

    named = {item.code for item in found.total.reasons}
    assert len(named) == 1
    assert named <= LACKS[name].names


@settings(deadline=None)
@given(
    missing=st.sets(st.sampled_from(sorted(LACKS)), max_size=4),
    problems=st.sets(st.sampled_from(sorted(CONDUCT)), max_size=3),
)
def test_where_nothing_would_be_done_nothing_is_promised(missing: set[str], problems: set[ReasonCode]) -> None:
    position = sound()
    for name in sorted(missing):
        position = LACKS[name].spoil(position)

    coverage = meter(position, *sorted(problems)).positions[position.trade_id]

    if coverage.state in {CoverageState.RED, CoverageState.UNKNOWN}:
        assert coverage.protected_to_price is None
        assert coverage.uses_sats is None
        assert not coverage.layers.guard

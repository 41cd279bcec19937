"""What a rule means for a trade, as its owner sees it."""

from dataclasses import replace
from fractions import Fraction

import pytest
from tests.fixtures.api import a_long
from tests.unit.features.trading.test_views import quote

from axisor.domain.trades import Trade, TradeStatus
from axisor.domain.units import RuleId
from axisor.features.execution.attempts import AttemptState
from axisor.features.margin_guard.plan import plan
from axisor.features.margin_guard.policy import Spending
from axisor.features.margin_guard.rule import GuardRule, Preset, preset_rule
from axisor.features.margin_guard.views import GuardFacts, guard_state, guard_view

TIER_0 = Fraction(1, 1000)


def a_rule(preset: Preset = Preset.HOLD) -> GuardRule:
    return preset_rule(preset, rule_id=RuleId("r"), leverage=Fraction(25), entry_margin_sats=400_000)


def spending(*, spent_sats: int = 0, count: int = 0, is_stopped: bool = False) -> Spending:
    return Spending(
        position_spent_sats=spent_sats,
        position_count=count,
        account_day_spent_sats=spent_sats,
        balance_sats=1_800_000,
        is_stopped=is_stopped,
    )


def facts(
    rule: GuardRule | None,
    money: Spending | None = None,
    *,
    trade: Trade | None = None,
    open_states: frozenset[AttemptState] = frozenset(),
) -> GuardFacts:
    money = money or spending()
    return GuardFacts(
        rule=rule,
        plan=plan(trade or a_long(), rule, money, fee_rate=TIER_0),
        spending=money,
        open_states=open_states,
    )


def test_a_guard_shows_its_marks_its_limits_and_the_worst_case() -> None:
    shown = guard_view(a_long(), facts(a_rule()), quote=quote(62_000), is_watched=True)
    assert (shown.warn_price, shown.top_up_price, shown.safety_stop_price) == (61_024.0, 60_784.5, 59_892.0)
    assert (shown.next_top_up_sats, shown.limit_sats, shown.left_sats, shown.count_left) == (
        207_947,
        400_000,
        400_000,
        3,
    )
    assert (shown.worst_case_sats, shown.unguarded_worst_case_sats) == (-770_828, -420_399)
    assert shown.give_up_price == shown.covered_to_price
    assert shown.rule is not None
    assert (shown.rule.top_up_share, shown.rule.stop_share, shown.rule.cut_share) == (0.5, 0.12, None)


def test_a_trade_that_has_ended_promises_nothing_more() -> None:
    ended = replace(a_long(), status=TradeStatus.CLOSED)
    nothing = GuardFacts(rule=a_rule(), plan=None, spending=spending(spent_sats=1000, count=1), open_states=frozenset())
    shown = guard_view(ended, nothing, quote=quote(62_000), is_watched=True)
    assert (shown.state, shown.spent_sats) == ("closed", 1000)
    assert (shown.covered_to_price, shown.next_top_up_sats, shown.worst_case_sats) == (None, None, None)


def test_stopped_spending_leaves_the_safety_stop_and_promises_no_top_up() -> None:
    shown = guard_view(a_long(), facts(a_rule(), spending(is_stopped=True)), quote=quote(62_000), is_watched=True)
    assert (shown.next_top_up_sats, shown.is_spending_stopped) == (None, True)
    assert shown.safety_stop_price == 59_892.0
    assert shown.covered_to_price == 59_892.0


@pytest.mark.parametrize(
    ("guard", "is_watched", "last", "state"),
    [
        (facts(a_rule()), True, 62_000, "calm"),
        (facts(a_rule()), True, 61_024, "warned"),
        (facts(a_rule(), spending(spent_sats=400_000, count=2)), True, 62_000, "limit_used"),
        (facts(a_rule(), spending(is_stopped=True)), True, 61_000, "spending_stopped"),
        (facts(a_rule(), open_states=frozenset({AttemptState.SENT})), True, 60_700, "acting"),
        (
            facts(a_rule(), open_states=frozenset({AttemptState.SENT, AttemptState.UNKNOWN})),
            True,
            60_700,
            "unknown_outcome",
        ),
        (facts(a_rule(), open_states=frozenset({AttemptState.UNKNOWN})), False, 60_700, "unwatched"),
        (facts(a_rule(Preset.WATCH), spending(is_stopped=True)), True, 62_000, "calm"),
        (facts(None), True, 62_000, "calm"),
    ],
)
def test_the_gravest_that_is_true_is_said(guard: GuardFacts, is_watched: bool, last: float, state: str) -> None:
    assert guard_state(a_long(), guard, quote=quote(last), is_watched=is_watched) == state

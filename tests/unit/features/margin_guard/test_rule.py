from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from tests.factories.guard import TOP_UP, WARN, a_rule

from axisor.domain.errors import InvalidRule
from axisor.domain.units import RuleId
from axisor.features.margin_guard.rule import (
    Close,
    GuardRule,
    Limits,
    Notify,
    Preset,
    Rung,
    TopUp,
    preset_rule,
    share_from_number,
    with_version,
)
from axisor.features.margin_guard.rule_body import dump_rule, load_rule

RULE_ID = RuleId("0197f0aa-0000-7000-8000-000000000010")
CUT = Rung(key="cut", room_share=Fraction(35, 100), action=Close())


def preset(kind: Preset, *, leverage: int = 25) -> GuardRule:
    return preset_rule(kind, rule_id=RULE_ID, leverage=Fraction(leverage), entry_margin_sats=400_000)


def test_watch_only_tells() -> None:
    rule = preset(Preset.WATCH)
    assert rule.rungs == (WARN,)
    assert rule.limits == Limits(position_sats=0, account_day_sats=None, max_count=None, reserve_sats=0)
    assert rule.stop_share is None


@pytest.mark.parametrize(("kind", "sats", "count"), [(Preset.HOLD, 400_000, 3), (Preset.HOLD_LONGER, 800_000, 5)])
@pytest.mark.parametrize(("leverage", "share"), [(5, 35), (24, 35), (25, 50), (50, 50)])
def test_hold_spends_the_margin_once_or_twice_and_acts_earlier_at_high_leverage(
    kind: Preset, sats: int, count: int, leverage: int, share: int
) -> None:
    rule = preset(kind, leverage=leverage)
    assert rule.rungs == (WARN, Rung(key="top_up", room_share=Fraction(share, 100), action=TopUp(Fraction(1))))
    assert (rule.limits.position_sats, rule.limits.max_count) == (sats, count)
    assert rule.stop_share == Fraction(12, 100)


@pytest.mark.parametrize("kind", [Preset.HOLD, Preset.HOLD_LONGER])
def test_top_ups_are_not_offered_above_50x(kind: Preset) -> None:
    with pytest.raises(InvalidRule, match="up to 50x"):
        preset(kind, leverage=51)


@pytest.mark.parametrize("leverage", [5, 100])
def test_cut_closes_at_35_percent_and_spends_nothing(leverage: int) -> None:
    rule = preset(Preset.CUT, leverage=leverage)
    assert rule.rungs == (WARN, CUT)
    assert rule.limits.position_sats == 0


def test_a_custom_rule_has_no_preset_numbers() -> None:
    with pytest.raises(InvalidRule):
        preset(Preset.CUSTOM)


def test_limits_of_the_account_come_with_a_preset() -> None:
    rule = preset_rule(
        Preset.HOLD,
        rule_id=RULE_ID,
        version=4,
        leverage=Fraction(25),
        entry_margin_sats=400_000,
        account_day_sats=900_000,
        reserve_sats=50_000,
    )
    assert (rule.version, rule.limits.account_day_sats, rule.limits.reserve_sats) == (4, 900_000, 50_000)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rungs": (TOP_UP, WARN)}, "steps"),
        ({"rungs": (WARN, Rung(key="again", room_share=WARN.room_share, action=Notify()))}, "steps"),
        ({"rungs": (WARN, Rung(key="warn", room_share=Fraction(1, 2), action=Notify()))}, "steps"),
        ({"rungs": (Rung(key="whole", room_share=Fraction(1), action=Notify()),)}, "steps.whole"),
        ({"rungs": (Rung(key="none", room_share=Fraction(0), action=Notify()),)}, "steps.none"),
        ({"rungs": (Rung(key="t", room_share=Fraction(1, 2), action=TopUp(Fraction(1, 2))),)}, "steps.t.refill_share"),
        (
            {"rungs": (Rung(key="t", room_share=Fraction(1, 2), action=TopUp(Fraction(201, 100))),)},
            "steps.t.refill_share",
        ),
        ({"stop_share": Fraction(0)}, "stop_share"),
        ({"stop_share": Fraction(1)}, "stop_share"),
        ({"stop_share": Fraction(1, 2)}, "stop_share"),
        ({"position_sats": -1}, "limits.position_sats"),
        ({"reserve_sats": -1}, "limits.reserve_sats"),
    ],
)
def test_a_rule_whose_parts_contradict_each_other_names_the_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        a_rule(**changes)
    assert caught.value.context["field"] == field


def test_a_word_to_the_owner_may_come_below_the_safety_stop() -> None:
    last_word = Rung(key="last", room_share=Fraction(5, 100), action=Notify())
    assert a_rule(TOP_UP, last_word).rungs[-1] is last_word


def test_the_first_step_of_a_kind_is_found() -> None:
    rule = a_rule(WARN, TOP_UP)
    assert rule.rung(Notify) == WARN
    assert rule.rung(TopUp) == TOP_UP
    assert rule.rung(Close) is None


def test_another_version_changes_nothing_else() -> None:
    rule = a_rule()
    later = with_version(rule, 7)
    assert later.version == 7
    assert with_version(later, 1) == rule


@pytest.mark.parametrize(
    "rule",
    [
        a_rule(WARN, TOP_UP, CUT, account_day_sats=5, max_count=3, reserve_sats=7),
        a_rule(WARN, stop_share=None, allow_second_send=False, rearm_share=Fraction(1, 3)),
    ],
)
def test_a_stored_rule_comes_back_as_it_was(rule: GuardRule) -> None:
    assert load_rule(dump_rule(rule), rule_id=rule.rule_id, version=rule.version) == rule


@pytest.mark.parametrize(
    "change",
    [
        {"preset": "heroic"},
        {"rungs": None},
        {"limits": {"position_sats": 1}},
        {"stop_share": "1/0"},
        {"rungs": [{"key": "x", "room_share": "1/2", "action": {"kind": "pray"}}]},
    ],
)
def test_a_body_of_another_release_is_refused_not_guessed(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidRule):
        load_rule(dump_rule(a_rule()) | change, rule_id=RULE_ID, version=1)


def test_a_share_of_the_wire_is_exact() -> None:
    assert share_from_number(Decimal("0.35")) == Fraction(35, 100)

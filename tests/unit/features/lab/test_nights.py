import json
from fractions import Fraction
from importlib.resources import files
from typing import Any

import pytest
from tests.factories.minutes import minutes_of_2018
from tools.make_nights import (
    GUIDE,
    LEVERAGES,
    LIMIT_PERCENTS,
    TARGET,
    TOP_UP_PERCENTS,
    WEEK_LEVERAGES,
    count_leverage,
    guards,
    preset_mark,
)
from tools.presets_page import Evidence, figures_of_others, figures_of_presets, page

from axisor.features.lab.nights import MOST_LEVERAGE, Nights, NightsCard, PresetName, nights_card, nights_like_2018

EVIDENCE = json.loads((files("axisor.features.lab") / "nights_2018.json").read_text(encoding="utf-8"))


def found(leverage: str, share: str, limit: str) -> Nights | None:
    return nights_like_2018(
        leverage=Fraction(leverage), top_up_share=Fraction(share), position_limit_share=Fraction(limit)
    )


@pytest.mark.parametrize(
    ("part", "leverage", "rules"),
    [
        ("leverages", 10, {"35/100", "cut", "stop/35", "at_entry/100"}),
        ("leverages", 25, {"50/100", "50/200", "cut", "cut/late", "50/100/late", "stop/50", "replenish", "distance_3"}),
        ("leverages", 50, {"70/50", "at_entry/200"}),
    ],
)
def test_the_committed_figures_come_out_of_the_recorded_minutes(part: str, leverage: int, rules: set[str]) -> None:
    market = minutes_of_2018()
    counted = count_leverage(market, leverage, only=frozenset(rules))
    committed = EVIDENCE[part][str(leverage)]
    assert EVIDENCE["source"]["sha256"] == market.sha256
    assert counted.pop("rules") == {rule: committed["rules"][rule] for rule in counted_order(committed, rules)}
    assert counted == {key: committed[key] for key in counted}


def counted_order(committed: dict[str, Any], rules: set[str]) -> list[str]:
    return [rule for rule in committed["rules"] if rule in rules]


def test_the_guide_states_the_committed_figures() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert page(text, EVIDENCE) == text, "run: PYTHONPATH=src python -m tools.make_nights"


def test_what_is_counted_agrees_with_the_study_but_where_the_guide_says_why() -> None:
    figures = [*figures_of_presets(Evidence(EVIDENCE)), *figures_of_others(Evidence(EVIDENCE))]
    far = [(leverage, one.what) for leverage, one in figures if not one.is_near]
    assert far == [
        (100, "Hold: top-ups in 30 nights"),
        (25, "earlier: added on average"),
        (25, "earlier: one night in twenty adds"),
        (25, "trigger at 3 % distance: acts on"),
    ]
    assert len(figures) > 100


def test_the_evidence_is_small_and_whole() -> None:
    assert TARGET.stat().st_size < 60_000
    assert [int(key) for key in EVIDENCE["leverages"]] == list(LEVERAGES)
    assert list(EVIDENCE["weeks"]) == [str(leverage) for leverage in WEEK_LEVERAGES]
    for leverage in LEVERAGES:
        rows = EVIDENCE["leverages"][str(leverage)]["rules"]
        assert list(rows) == [name for name, _, _ in guards(leverage)]
        assert all(len(row) == len(EVIDENCE["columns"]) for row in rows.values())


def test_no_preset_needs_more_top_ups_than_it_may_make() -> None:
    most = EVIDENCE["columns"].index("most_top_ups")
    for leverage in (5, 10, 15, 20, 25, 30, 40, 50):
        rows = EVIDENCE["leverages"][str(leverage)]["rules"]
        assert rows[f"{preset_mark(leverage)}/100"][most] <= 3
        assert rows[f"{preset_mark(leverage)}/200"][most] <= 5


def card(preset: PresetName, leverage: str, limit: str | None = None) -> NightsCard:
    found = nights_card(
        preset=preset, leverage=Fraction(leverage), limit_margins=None if limit is None else Fraction(limit)
    )
    assert found is not None
    return found


def test_a_card_sets_hold_beside_a_stop_and_beside_the_limit_put_in_at_entry() -> None:
    hold = card("hold", "25")
    assert (hold.died_unguarded, hold.acted, hold.saved) == (15, 34, 11)
    assert (hold.better_than_liquidation, hold.worse_than_liquidation) == (7, 8)
    assert (hold.mean_sats_added_share, hold.when_acting_share) == (
        pytest.approx(0.244, abs=1e-3),
        pytest.approx(0.708, abs=1e-3),
    )
    change = hold.mean_result_share - hold.unguarded_mean_result_share
    assert hold.mean_result_change_share == pytest.approx(
        change, abs=1.1e-4
    )  # each rounded to a hundredth of a percent
    assert hold.change_low_share < hold.mean_result_change_share < hold.change_high_share
    stop, put_in = hold.against
    assert (stop.name, stop.closed, stop.would_have_lived, stop.worst_share) == ("plain_stop", 27, 12, -0.7185)
    assert (put_in.name, put_in.saved, put_in.worst_share) == ("limit_at_entry", 12, pytest.approx(-2.05, abs=0.01))


def test_watch_changes_nothing_and_cut_closes_nights_that_would_have_lived() -> None:
    watch, cut = card("watch", "100"), card("cut", "25")
    assert (watch.acted, watch.saved, watch.mean_result_change_share) == (0, 0, 0)
    assert (watch.closed_that_would_have_lived, watch.when_acting_share) == (None, None)
    assert watch.mean_result_share == watch.unguarded_mean_result_share
    assert (cut.acted, cut.closed_that_would_have_lived, cut.limit_margins) == (27, 12, None)


def test_the_card_names_what_was_simulated() -> None:
    near = card("hold", "23", "1.2")
    assert (near.leverage, near.top_up_share, near.limit_margins) == (25, 0.5, 1.0)
    assert card("hold_longer", "12.5").leverage == 15
    assert card("hold", "22.5").leverage == 25


def test_no_card_claims_that_a_preset_raises_the_average() -> None:
    presets: tuple[PresetName, ...] = ("watch", "hold", "hold_longer", "cut")
    cards = [
        found
        for preset in presets
        for leverage in range(5, 101)
        if (found := nights_card(preset=preset, leverage=Fraction(leverage))) is not None
    ]
    assert len(cards) > 200
    assert not any(one.raises_mean for one in cards)


def test_no_top_up_above_50x_and_none_without_a_mark_has_a_card() -> None:
    assert nights_card(preset="hold", leverage=Fraction(51)) is None
    assert nights_card(preset="custom", leverage=Fraction(25), limit_margins=Fraction(1)) is None
    assert nights_card(preset="custom", leverage=Fraction(25), top_up_share=Fraction(1, 2)) is None
    assert nights_card(preset="watch", leverage=Fraction(4)) is None


def test_hold_at_25x_is_the_card_that_the_demo_shows() -> None:
    assert found("25", "0.5", "1") == Nights(
        nights=100,
        leverage=25,
        top_up_share=Fraction(1, 2),
        position_limit_share=Fraction(1),
        died_unguarded=15,
        acted=34,
        saved=11,
        better_than_liquidation=7,
        worse_than_liquidation=8,
        source="2018",
    )


def test_the_answer_names_the_rule_that_was_simulated() -> None:
    near = found("26.4", "0.483", "1.1")
    assert near is not None
    assert (near.leverage, near.top_up_share, near.position_limit_share) == (25, Fraction(1, 2), Fraction(1))


def test_between_two_simulated_rules_the_harsher_one_answers() -> None:
    tie = found("22.5", "0.475", "2.5")
    assert tie is not None
    assert (tie.leverage, tie.top_up_share, tie.position_limit_share) == (25, Fraction(45, 100), Fraction(2))


@pytest.mark.parametrize(
    ("leverage", "share", "limit"),
    [
        ("4.9", "0.5", "1"),
        ("51", "0.5", "1"),
        ("25", "0.24", "1"),
        ("25", "0.71", "1"),
        ("25", "0.5", "0.49"),
        ("25", "0.5", "3.01"),
    ],
)
def test_outside_what_was_simulated_there_is_no_answer(leverage: str, share: str, limit: str) -> None:
    assert found(leverage, share, limit) is None


def test_a_leverage_that_rounding_moved_past_the_end_still_has_its_answer() -> None:
    low, high = found("4.998", "0.35", "1"), found("50.01", "0.5", "1")
    assert low is not None
    assert high is not None
    assert (low.leverage, high.leverage) == (5, 50)


def test_no_card_counts_more_nights_than_there_are() -> None:
    for leverage in (leverage for leverage in LEVERAGES if leverage <= MOST_LEVERAGE):
        for share in TOP_UP_PERCENTS:
            for limit in LIMIT_PERCENTS:
                card = found(str(leverage), f"{share}/100", f"{limit}/100")
                assert card is not None
                assert card.better_than_liquidation + card.worse_than_liquidation <= card.died_unguarded
                assert card.better_than_liquidation >= 0
                assert card.saved <= card.died_unguarded <= card.acted <= card.nights

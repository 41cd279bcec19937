import json
from fractions import Fraction
from importlib.resources import files

import pytest
from tests.factories.minutes import minutes_of_2018
from tools.make_nights import LEVERAGES, LIMIT_PERCENTS, TARGET, TOP_UP_PERCENTS

from axisor.features.lab.nights import Nights, nights_like_2018
from axisor.features.lab.simulate import NIGHT_MINUTES, Guard, count_nights

EVIDENCE = json.loads((files("axisor.features.lab") / "nights_2018.json").read_text(encoding="utf-8"))


def found(leverage: str, share: str, limit: str) -> Nights | None:
    return nights_like_2018(
        leverage=Fraction(leverage), top_up_share=Fraction(share), position_limit_share=Fraction(limit)
    )


@pytest.mark.parametrize(("leverage", "share", "limit"), [("10", "35", "100"), ("25", "50", "100"), ("50", "70", "50")])
def test_the_committed_counts_come_out_of_the_recorded_minutes(leverage: str, share: str, limit: str) -> None:
    market = minutes_of_2018()
    guard = Guard(top_up_share=int(share) / 100, limit=int(limit) / 100)
    counts = count_nights(market, market.hourly_starts(minutes=NIGHT_MINUTES), leverage=int(leverage), guard=guard)
    assert EVIDENCE["source"]["sha256"] == market.sha256
    assert EVIDENCE["nights"] == counts.nights
    assert EVIDENCE["leverages"][leverage]["died_unguarded"] == counts.died_unguarded
    expected = [counts.acted, counts.saved, counts.better, counts.worse]
    assert EVIDENCE["leverages"][leverage]["rules"][f"{share}/{limit}"] == expected


def test_the_evidence_is_small_and_whole() -> None:
    assert TARGET.stat().st_size < 60_000
    assert [int(key) for key in EVIDENCE["leverages"]] == list(LEVERAGES)
    keys = [f"{share}/{limit}" for share in TOP_UP_PERCENTS for limit in LIMIT_PERCENTS]
    assert all(list(counts["rules"]) == keys for counts in EVIDENCE["leverages"].values())


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
    for leverage in LEVERAGES:
        for share in TOP_UP_PERCENTS:
            for limit in LIMIT_PERCENTS:
                card = found(str(leverage), f"{share}/100", f"{limit}/100")
                assert card is not None
                assert card.better_than_liquidation + card.worse_than_liquidation <= card.died_unguarded
                assert card.better_than_liquidation >= 0
                assert card.saved <= card.died_unguarded <= card.acted <= card.nights

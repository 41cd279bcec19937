import pytest

from axisor.features.margin_guard.capacity import (
    Rates,
    Rescue,
    Way,
    expected_done_s,
    expected_wait_s,
    leads_s,
    order,
    simulate_queue,
    slack_s,
)

FIVE_A_SECOND = Rates(per_s=5.0)


def ways(*rescues: Rescue, rates: Rates = FIVE_A_SECOND) -> list[tuple[int, Way]]:
    return [(turn.number, turn.way) for turn in order(rescues, rates)]


def test_a_hundred_trades_at_two_calls_take_forty_seconds_at_five_a_second() -> None:
    waits = simulate_queue([Rescue()] * 100, Rates(per_s=5.0, tokens=0.0))

    assert max(wait.done_s for wait in waits) == pytest.approx(40.0)
    assert expected_wait_s(99, FIVE_A_SECOND) == pytest.approx(39.6)
    assert expected_done_s(99, Rates(per_s=5.0, tokens=0.0)) == pytest.approx(40.0)


def test_an_idle_key_serves_at_once() -> None:
    assert simulate_queue([Rescue(due_s=3.0)], FIVE_A_SECOND)[0].wait_s == 0.0
    assert expected_wait_s(0, FIVE_A_SECOND) == 0.0


def test_after_a_refusal_for_haste_everything_waits_for_the_pause() -> None:
    paused = Rates(per_s=5.0, tokens=0.0, paused_s=2.0)

    assert simulate_queue([Rescue()], paused)[0].wait_s == pytest.approx(2.2)


def test_what_is_saved_up_leaves_at_once_and_no_more() -> None:
    waits = simulate_queue([Rescue()] * 4, Rates(per_s=5.0, burst=5))

    assert [round(wait.wait_s, 3) for wait in waits] == [0.0, 0.0, 0.0, 0.4]


def test_tokens_grow_back_while_nobody_is_due() -> None:
    waits = simulate_queue([Rescue(), Rescue(due_s=10.0)], Rates(per_s=5.0, burst=2))

    assert [wait.wait_s for wait in waits] == [0.0, 0.0]


def test_slack_is_the_time_to_the_end_less_the_service_time() -> None:
    assert slack_s(Rescue(end_s=3.0), Rates(per_s=5.0, round_trip_s=0.1)) == pytest.approx(2.5)
    assert slack_s(Rescue(), FIVE_A_SECOND) == float("inf")


def test_the_least_slack_goes_first_and_what_stands_still_last() -> None:
    assert ways(Rescue(), Rescue(end_s=30.0), Rescue(end_s=2.0)) == [
        (2, Way.RESCUE),
        (1, Way.RESCUE),
        (0, Way.RESCUE),
    ]


def test_of_equal_slack_the_most_sats_per_call_go_first() -> None:
    rescues = [Rescue(end_s=9.0, kept_sats=400), Rescue(end_s=9.0, kept_sats=900), Rescue(end_s=9.0, kept_sats=500)]

    assert [number for number, _ in ways(*rescues)] == [1, 2, 0]


def test_what_keeps_the_fewest_sats_per_call_gives_way_where_not_all_are_in_time() -> None:
    rescues = [Rescue(end_s=0.9, kept_sats=900), Rescue(end_s=0.6, kept_sats=100), Rescue(end_s=0.65, kept_sats=300)]

    assert ways(*rescues, rates=Rates(per_s=5.0, tokens=0.0)) == [(2, Way.RESCUE), (0, Way.RESCUE), (1, Way.LATE)]


def test_a_trade_that_cannot_be_topped_up_in_time_is_closed_while_one_call_still_is() -> None:
    hopeless = Rescue(end_s=0.25, close_calls=1, close_sats=100)

    assert ways(hopeless, rates=Rates(per_s=5.0, tokens=0.0)) == [(0, Way.CLOSE)]


def test_a_close_makes_no_rescue_late() -> None:
    rescue = Rescue(end_s=0.45, kept_sats=900)
    hopeless = Rescue(end_s=0.25, close_calls=1, close_sats=100)

    assert ways(rescue, hopeless, rates=Rates(per_s=5.0, tokens=0.0)) == [(0, Way.RESCUE), (1, Way.LATE)]


def test_a_trade_whose_stop_closes_it_anyway_is_not_closed_for_want_of_time() -> None:
    assert ways(Rescue(end_s=0.25), rates=Rates(per_s=5.0, tokens=0.0)) == [(0, Way.LATE)]


def test_a_crowd_begins_so_early_that_its_last_begins_at_its_mark() -> None:
    leads = leads_s([10.0] * 5, FIVE_A_SECOND)

    spare_s = 0.2  # one call is saved up: the first of two need not wait
    assert leads == pytest.approx([1.6 + spare_s, 1.2 + spare_s, 0.8 + spare_s, 0.4 + spare_s, spare_s])


def test_what_is_due_long_after_a_crowd_and_what_is_not_approached_does_not_lead() -> None:
    leads = leads_s([10.0] * 5 + [None, 60.0], Rates(per_s=5.0, burst=5))

    assert leads[5:] == (0.0, 0.0)
    assert leads[0] == pytest.approx(1.0)


def test_nothing_leads_by_more_than_the_time_that_is_left() -> None:
    assert max(leads_s([0.5] * 50, FIVE_A_SECOND)) == 0.5

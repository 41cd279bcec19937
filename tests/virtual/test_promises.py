"""What the guard promises (P1, P2, P4, P7, P11, P16, P17, P18), each with the night that would break it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.virtual.faults import FaultKind, Step, Strike
from tests.virtual.nights import TO_THE_MARK
from tests.virtual.scenario import ENTRY, Night, Run, live
from tests.virtual.table import whole_table

from axisor.domain.units import Price
from axisor.ports.market_feed import LastPrice

A_NIGHT = Night(seed=3, tape=TO_THE_MARK, ends_when_settled=True, allow_second_send=False)
CALM = (ENTRY,) * 40


def frame(run: Run, price: Price) -> LastPrice:
    return LastPrice(at=run.world.now(), floor=price, ceil=price, received_boottime_s=run.world.now_s)


def at(second: float, deed: Callable[[Run], None]) -> Callable[[Run], None]:
    """Return what prepares a run so that something happens at a second of its tape."""
    return lambda run: run.world.after(2 + second, lambda: deed(run))


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
def test_p1_a_monitor_killed_at_any_step_pays_once(step: Step, is_before: bool) -> None:
    verdict = live(replace(A_NIGHT, strikes=(Strike(FaultKind.CRASH, step, is_before=is_before),)))

    assert verdict.complaints() == []
    assert (verdict.due, verdict.served, verdict.late_doubles) == (1, 1, 0)


@pytest.mark.parametrize("step", Step)
def test_p4_a_process_that_slept_past_its_lease_and_the_quiet_period_sends_nothing(step: Step) -> None:
    runs: list[Run] = []
    strike = Strike(FaultKind.FREEZE_PAST_QUIET, step, is_before=True)

    verdict = live(replace(A_NIGHT, strikes=(strike,), ends_when_settled=False), runs.append)

    run, sleeper = runs[0], runs[0].installation.processes[0]
    assert verdict.complaints() == []
    woke_s = run.world.now_s - 150
    assert not [request for request in run.venue.arrivals if request.process is sleeper and request.sent_at_s > woke_s]


def test_p2_an_effect_beyond_the_bound_stays_within_the_limit() -> None:
    for seed in range(20):
        strikes = tuple(Strike(FaultKind.APPLY_TOO_LATE, Step.WRITE, is_before=True) for _ in range(3))
        verdict = live(replace(A_NIGHT, seed=seed, strikes=strikes, ends_when_settled=False))

        assert verdict.over_budget_sats == 0
        assert verdict.lost == 0


@pytest.mark.parametrize(
    "price", [Price(124), Price(124_000_000), Price(0)], ids=["thousandth", "thousandfold", "zero"]
)
def test_p7_one_mad_price_moves_no_sat(price: Price) -> None:
    runs: list[Run] = []

    def prepare(run: Run) -> None:
        runs.append(run)
        at(10.5, lambda run: [hear(frame(run, price)) for hear in run.venue.market_feeds])(run)

    verdict = live(replace(A_NIGHT, tape=CALM), prepare)

    assert runs[0].venue.effects == []
    assert verdict.complaints() == []
    assert verdict.endings == {"alive": 1}


def test_p7_without_prices_nothing_is_spent_and_with_the_first_good_one_the_rescue_goes() -> None:
    runs: list[Run] = []

    def deafen(run: Run) -> None:
        listeners = list(run.venue.market_feeds)
        run.venue.market_feeds.clear()
        run.world.after(30, lambda: run.venue.market_feeds.extend(listeners))

    def prepare(run: Run) -> None:
        runs.append(run)
        at(5, deafen)(run)

    verdict = live(replace(A_NIGHT, ends_when_settled=False), prepare)

    run = runs[0]
    deaf_until_s = 1_002 + 5 + 30
    assert [effect for effect in run.venue.effects if effect.at_s < deaf_until_s] == []
    assert min(effect.at_s for effect in run.venue.effects) < deaf_until_s + 1.5
    assert verdict.complaints() == []


def test_p16_with_database_away_and_disk_full_nothing_leaves_that_nobody_could_account_for() -> None:
    runs: list[Run] = []

    def fill(run: Run) -> None:
        run.installation.disk.is_full = True
        run.world.after(30, lambda: setattr(run.installation.disk, "is_full", False))

    def prepare(run: Run) -> None:
        runs.append(run)
        at(5, fill)(run)

    night = replace(A_NIGHT, storms=((5.0, FaultKind.DATABASE_AWAY),))
    verdict = live(night, prepare)

    effects = runs[0].venue.effects
    assert effects
    assert min(effect.sent_at_s for effect in effects) >= 1_002 + 35
    assert verdict.complaints() == []
    assert verdict.misbooked_sats == 0


@pytest.mark.parametrize("kind", [FaultKind.CLOCK_FORWARD, FaultKind.CLOCK_BACK])
@pytest.mark.parametrize("step", Step)
def test_p17_a_wall_clock_that_is_stepped_changes_no_decision(kind: FaultKind, step: Step) -> None:
    runs: list[Run] = []
    live(A_NIGHT, runs.append)
    live(replace(A_NIGHT, strikes=(Strike(kind, step, is_before=True),)), runs.append)

    # A signature that the step spoils is refused and made anew: the same sats under the next tag.
    plain, stepped = ([effect.amount_sats // 1000 for effect in run.venue.effects] for run in runs)
    assert stepped == plain


def test_p11_a_rescue_never_waits_behind_routine_readings() -> None:
    verdict = live(replace(A_NIGHT, storms=((8.0, FaultKind.ROUTINE_STORM),)))

    assert verdict.served == 1
    assert max(verdict.wait_s) == 0


def test_p18_no_sat_appears_or_vanishes_whatever_strikes_together() -> None:
    table = whole_table()
    for seed in range(12):
        strikes = tuple(table[(seed * 7 + number * 31) % len(table)] for number in range(6))
        verdict = live(replace(A_NIGHT, seed=seed, strikes=strikes, storms=((12.0, FaultKind.FUNDING),)))

        assert verdict.discrepancies == ()
        assert verdict.misbooked_sats == 0

"""Real processes under fire, judged by the exchange's books alone: nothing is lost, and nothing is paid twice."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import pytest
from tests.fire.blows import OTHERS, PAST_EVERYTHING_S, blow, fault
from tests.fire.oracle import Judgement
from tests.fire.scenario import BOUND_S, QUIET_S, TAKEOVER_S, Deed, Scenario, seeded_blows

from axisor.domain.errors import ConfigurationError
from axisor.features.margin_guard.rule import Preset
from axisor.settings import load

FROZEN: Final = "tests.fire.mutants.frozen"
LATE_START_S: Final = 13.0
"""A warning of so many seconds leaves a slow machine time to start a successor, beside takeover and quiet period."""

WAKE: Final = blow(Deed.WAKE, at_s=math.inf)
WOKEN_PAST_ITS_SIGNATURE: Final = Scenario(
    module=FROZEN, blows=(blow(Deed.FREEZE_AT_WRITE, at_s=1.0, for_s=math.inf), WAKE), warning_s=LATE_START_S
)
WOKEN_PAST_ITS_LEASE: Final = Scenario(
    blows=(
        blow(Deed.FREEZE_ALONE, at_s=1.0, for_s=math.inf),
        # It wakes with old facts, and the exchange does not tell it better.
        fault("lose_request", at_s=math.inf, path="trades/running", count=40, hang_s=4),
        WAKE,
    ),
    warning_s=LATE_START_S,
)
LATE_EFFECTS: Final = Scenario(blows=(fault("apply_late_s", seconds=BOUND_S / 2),))
HIDDEN_BY_FUNDING: Final = Scenario(
    accounts=2,
    trades=2,
    leverages=(25,),
    preset=Preset.HOLD,
    blows=(
        fault("lose_answer_after_apply", count=2, hang_s=5),
        *(blow(Deed.FUNDING, "exchange", at_s=1.5 + number / 10) for number in range(20)),
    ),
    warning_s=8.0,
)
SURVIVED: Final = {
    "monitor killed at the mark": Scenario(blows=(blow(Deed.KILL),)),
    "monitor killed twice": Scenario(
        blows=(blow(Deed.KILL, at_s=1.6), blow(Deed.KILL, at_s=4.5)), warning_s=LATE_START_S
    ),
    "monitor killed while answers are missing": Scenario(
        blows=(fault("lose_answer_after_apply", hang_s=5), blow(Deed.KILL, at_s=2.3))
    ),
    "monitor frozen past lease and quiet period": Scenario(
        blows=(blow(Deed.FREEZE, for_s=PAST_EVERYTHING_S),), warning_s=LATE_START_S
    ),
    "monitor frozen before a first byte, woken past everything": WOKEN_PAST_ITS_SIGNATURE,
    "monitor frozen, woken past everything without PostgreSQL": WOKEN_PAST_ITS_LEASE,
    "answers lost, funding paid meanwhile": HIDDEN_BY_FUNDING,
    "requests lost": Scenario(blows=(fault("lose_request", hang_s=5),)),
    "effects late within the bound": LATE_EFFECTS,
    "rate limited": Scenario(blows=(fault("too_many_requests", retry_after_s=1),)),
    "PostgreSQL away at the mark": Scenario(blows=(blow(Deed.CUT, "postgres", at_s=1.0, for_s=6.0),)),
    "Valkey away at the mark": Scenario(blows=(blow(Deed.CUT, "valkey", at_s=1.0, for_s=6.0),)),
    "PostgreSQL and Valkey away, answers lost": Scenario(
        blows=(
            blow(Deed.CUT, "postgres", at_s=1.0, for_s=5.0),
            blow(Deed.CUT, "valkey", at_s=1.0, for_s=5.0),
            fault("lose_answer_after_apply", hang_s=5),
        )
    ),
    "monitor cut off from PostgreSQL, its successor is not": Scenario(
        blows=(blow(Deed.ALONE, at_s=1.0),), warning_s=LATE_START_S
    ),
    "without stops, monitor killed": Scenario(has_stop=False, blows=(blow(Deed.KILL, at_s=1.5),)),
    "random role every few seconds": Scenario(
        blows=seeded_blows(1, OTHERS, seconds=12, every_s=3), roles=OTHERS, warning_s=20
    ),
}
PAID_TWICE: Final = {
    "without a quiet period": replace(
        LATE_EFFECTS,
        module="tests.fire.mutants.no_quiet_period",
        blows=(fault("apply_late_s", seconds=BOUND_S * 2),),
    ),
    "without a fence": replace(WOKEN_PAST_ITS_LEASE, module="tests.fire.mutants.no_fence"),
    "signed after it was written down": replace(WOKEN_PAST_ITS_SIGNATURE, module="tests.fire.mutants.signs_after_sent"),
}
MARGIN_FOR_COUNTER: Final = "outcomes read from the margin"
NO_GUARD: Final = "without the guard"
LOST_FOR_GOOD: Final = "lost in mid-crash, for good"
SCENARIOS: Final = (
    SURVIVED
    | PAID_TWICE
    | {
        MARGIN_FOR_COUNTER: replace(HIDDEN_BY_FUNDING, module="tests.fire.mutants.margin_for_counter"),
        NO_GUARD: Scenario(is_guarded=False, settles_s=1.0, warning_s=5.0),
        LOST_FOR_GOOD: Scenario(
            blows=(blow(Deed.KILL, at_s=1.0),), has_successor=False, deepest_usd=58_800.0, warning_s=6.0, settles_s=1.0
        ),
    }
)


@pytest.fixture(scope="module")
def tally() -> Iterator[list[Judgement]]:
    """Adds up the figures, and shows them at the end."""
    judgements: list[Judgement] = []
    yield judgements
    if judgements:
        print(f"\n{len(judgements)} scenarios: {sum(judgements, Judgement())}")  # noqa: T201 - what this is run for


@pytest.mark.parametrize("name", SURVIVED)
def test_nothing_is_lost_or_doubled(
    name: str,
    fights: Callable[[str], Judgement],
    tally: list[Judgement],
    record_property: Callable[[str, object], None],
) -> None:
    judgement, scenario = fights(name), SCENARIOS[name]
    tally.append(judgement)
    record_property("figures", str(judgement))

    assert judgement.complaints() == []
    assert judgement.due >= scenario.trades
    # Every trade had more warning than takeover, quiet period and a slow machine need.
    assert judgement.alive + judgement.closed_by_stop == scenario.trades
    assert judgement.alive >= scenario.trades / 2, judgement
    assert min(judgement.warning_s, default=TAKEOVER_S + 2) >= TAKEOVER_S + 2


@pytest.mark.parametrize("name", ["answers lost, funding paid meanwhile"])
def test_funding_hides_no_outcome(name: str, fights: Callable[[str], Judgement]) -> None:
    assert fights(name).misbooked_sats == 0


@pytest.mark.parametrize("name", PAID_TWICE)
def test_a_missing_safeguard_pays_twice(name: str, fights: Callable[[str], Judgement]) -> None:
    assert fights(name).doubled > 0


@pytest.mark.parametrize("name", [MARGIN_FOR_COUNTER])
def test_an_outcome_read_from_the_margin_is_booked_wrong(name: str, fights: Callable[[str], Judgement]) -> None:
    assert fights(name).misbooked_sats > 0


@pytest.mark.parametrize("name", [NO_GUARD])
def test_every_due_top_up_is_lost(name: str, fights: Callable[[str], Judgement]) -> None:
    judgement = fights(name)

    assert judgement.lost == judgement.due == SCENARIOS[name].trades
    assert judgement.alive == 0


@pytest.mark.parametrize("name", [LOST_FOR_GOOD])
def test_each_trade_closes_at_its_stop_before_liquidation(name: str, fights: Callable[[str], Judgement]) -> None:
    judgement = fights(name)

    assert judgement.closed_by_stop == SCENARIOS[name].trades
    assert judgement.liquidated == 0


def test_a_quiet_period_shorter_than_window_and_bound_is_refused() -> None:
    short = {"AXISOR_SIGNATURE_WINDOW_S": "2", "AXISOR_APPLY_BOUND_S": "1", "AXISOR_QUIET_PERIOD_S": f"{QUIET_S - 0.1}"}

    with pytest.raises(ConfigurationError, match="AXISOR_QUIET_PERIOD_S"):
        load(short)

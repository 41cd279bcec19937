"""The long form: many trades, long outages, total loss; collected only by `./axisor test --long`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import pytest
from tests.fire.blows import OTHERS, PAST_EVERYTHING_S, blow, fault
from tests.fire.oracle import Judgement
from tests.fire.scenario import TAKEOVER_S, Blow, Deed, Scenario, seeded_blows

AT_A_TIME: Final = 2
AWAY_S: Final = 60.0
EVERY_ROLE: Final = ("api", *OTHERS)
DAYS_WORK: Final = {"AXISOR_READ_NEAR_S": "2"}
"""The product's own reading interval: many accounts are read."""


@dataclass(frozen=True, slots=True)
class Case:
    scenario: Scenario
    least_alive: float
    """The share of the trades that must be alive by the guard, not merely closed by their stops."""


def away(*servers: str) -> Scenario:
    """Return a crash whose marks all lie in an outage of a minute."""
    return Scenario(
        blows=tuple(blow(Deed.CUT, server, at_s=2.0, for_s=AWAY_S) for server in servers),
        accounts=10,
        trades=20,
        leverages=(20, 22, 24, 25, 26, 28),
        falls_to_mark_s=10.0,
        warning_s=AWAY_S,
        settles_s=AWAY_S,
        roles=OTHERS,
        environment=DAYS_WORK,
    )


CRASH: Final = Scenario(
    blows=seeded_blows(2018, EVERY_ROLE, seconds=150, every_s=4, kills_servers=True),
    accounts=50,
    trades=200,
    leverages=(20, 22, 24, 25, 26, 28),
    roles=EVERY_ROLE,
    has_own_engines=True,
    falls_to_mark_s=12.0,
    warning_s=150.0,
    deepest_usd=59_500.0,
    settles_s=90.0,
    environment=DAYS_WORK,
    is_alone=True,
)
FEW_REQUESTS: Final = Scenario(
    accounts=8,
    trades=8,
    falls_to_mark_s=6.0,
    starts_within_s=30.0,
    environment={"AXISOR_PRIVATE_RATE_PER_S": "0.5", "AXISOR_PRIVATE_BURST": "3", "AXISOR_READ_NEAR_S": "0.2"},
)
FEW_REQUESTS_WAIT_S: Final = 0.8
"""Within it a top-up leaves where its token is kept for it."""
CASES: Final = {
    "200 trades on 50 accounts, a random role every few seconds": Case(CRASH, 0.8),
    "PostgreSQL away for a minute": Case(away("postgres"), 1.0),
    "Valkey away for a minute": Case(away("valkey"), 1.0),
    "PostgreSQL and Valkey away for a minute": Case(away("postgres", "valkey"), 1.0),
    "monitor cut off from PostgreSQL, its successor is not": Case(
        replace(away("valkey"), blows=(blow(Deed.ALONE, at_s=2.0), blow(Deed.ALONE, at_s=30.0))), 0.8
    ),
    "without stops, the guard alone": Case(
        replace(
            away("valkey"),
            has_stop=False,
            warning_s=90.0,
            blows=seeded_blows(7, OTHERS, seconds=80, every_s=8),
        ),
        1.0,
    ),
    **{
        f"random role every few seconds, {seed}": Case(
            Scenario(blows=seeded_blows(seed, OTHERS, seconds=22, every_s=3), roles=OTHERS, warning_s=30.0), 0.5
        )
        for seed in (2, 3, 4, 5)
    },
    "few requests allowed": Case(FEW_REQUESTS, 1.0),
    "nothing happens": Case(Scenario(), 1.0),
    "monitor killed before the mark": Case(Scenario(blows=(blow(Deed.KILL, at_s=1.0),)), 0.5),
    "monitor frozen for a moment": Case(Scenario(blows=(blow(Deed.FREEZE, for_s=1.0),)), 0.5),
    "monitor frozen while answers are missing": Case(
        Scenario(
            blows=(fault("lose_answer_after_apply", hang_s=5), blow(Deed.FREEZE, at_s=2.2, for_s=PAST_EVERYTHING_S)),
            warning_s=13.0,
        ),
        0.5,
    ),
    "answers lost": Case(Scenario(blows=(fault("lose_answer_after_apply", hang_s=5),)), 0.5),
    "connections reset after the effect": Case(Scenario(blows=(fault("reset_connection", with_effect=True),)), 0.5),
    "half an answer": Case(Scenario(blows=(fault("malformed_json"),)), 0.5),
    "second sends allowed, requests lost": Case(
        Scenario(blows=(fault("lose_request", hang_s=5),), environment={"AXISOR_SECOND_SEND": "true"}), 0.5
    ),
}
NO_RESERVED_TOKENS: Final = "no request kept for protection"
TOTAL_LOSS: Final = "everything lost in mid-crash"
SCENARIOS: Final = {name: case.scenario for name, case in CASES.items()} | {
    NO_RESERVED_TOKENS: replace(
        FEW_REQUESTS, environment=FEW_REQUESTS.environment | {"AXISOR_PRIVATE_KEPT_FOR_PROTECT": "0"}
    ),
    TOTAL_LOSS: Scenario(
        blows=tuple(Blow(at_s=8.0, deed=Deed.KILL, whom=whom) for whom in ("monitor", *EVERY_ROLE)),
        accounts=25,
        trades=100,
        leverages=(20, 22, 24, 25, 26, 28),
        roles=EVERY_ROLE,
        has_successor=False,
        falls_to_mark_s=7.0,
        warning_s=30.0,
        deepest_usd=55_000.0,
        settles_s=1.0,
        environment=DAYS_WORK,
    ),
}


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, Judgement]]:
    """Collects the figures of each scenario, and shows them at the end."""
    judgements: dict[str, Judgement] = {}
    yield judgements
    for name, judgement in judgements.items():
        print(f"\n{name}: {judgement}")  # noqa: T201 - what this is run for
    print(f"\n{len(judgements)} scenarios: {sum(judgements.values(), Judgement())}")  # noqa: T201


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_lost_or_doubled(
    name: str, fights: Callable[[str], Judgement], figures: dict[str, Judgement]
) -> None:
    judgement, case = fights(name), CASES[name]
    figures[name] = judgement

    assert judgement.complaints() == []
    assert judgement.alive + judgement.closed_by_stop == case.scenario.trades
    assert judgement.alive >= case.least_alive * case.scenario.trades, judgement
    assert min(judgement.warning_s, default=TAKEOVER_S + 2) >= TAKEOVER_S + 2


@pytest.mark.parametrize("name", [TOTAL_LOSS])
def test_each_trade_closes_at_its_stop_before_liquidation(
    name: str, fights: Callable[[str], Judgement], figures: dict[str, Judgement]
) -> None:
    judgement = fights(name)
    figures[name] = judgement

    # Some had been topped up by then: their stops had followed.
    assert judgement.served > 0
    assert judgement.closed_by_stop == SCENARIOS[name].trades
    assert judgement.doubled == judgement.over_limit_sats == 0


@pytest.mark.parametrize("name", ["few requests allowed"])
def test_a_top_up_does_not_wait_for_readings(name: str, fights: Callable[[str], Judgement]) -> None:
    assert max(fights(name).served_after_s) < FEW_REQUESTS_WAIT_S


@pytest.mark.parametrize("name", [NO_RESERVED_TOKENS])
def test_without_kept_requests_a_top_up_waits(name: str, fights: Callable[[str], Judgement]) -> None:
    assert max(fights(name).served_after_s) > FEW_REQUESTS_WAIT_S

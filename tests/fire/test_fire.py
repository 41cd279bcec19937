"""Real processes under fire, judged by the exchange's books alone: nothing is lost, and nothing is paid twice."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from tests.fire.assault import BOUND_S, LEASE_S, QUIET_S, Blow, Deed, Scenario, seeded_blows
from tests.fire.oracle import Judgement

from axisor.domain.errors import ConfigurationError
from axisor.settings import load

AT_THE_MARK_S: Final = 1.9
"""The first marks are reached here."""
PAST_EVERYTHING_S: Final = LEASE_S + QUIET_S + 1.5
OTHERS: Final = ("worker", "scheduler")


def fault(kind: str, *, count: int = 2, **options: Any) -> Blow:
    return Blow(
        at_s=0.5,
        deed=Deed.STRIKE,
        whom="exchange",
        fault={"kind": kind, "path": "add-margin", "count": count, **options},
    )


def blow(deed: Deed, whom: str = "monitor", *, at_s: float = AT_THE_MARK_S, for_s: float = 0.0) -> Blow:
    return Blow(at_s=at_s, deed=deed, whom=whom, for_s=for_s)


SCENARIOS: Final = {
    "nothing happens": Scenario(),
    "monitor killed before the mark": Scenario(blows=(blow(Deed.KILL, at_s=1.0),)),
    "monitor killed at the mark": Scenario(blows=(blow(Deed.KILL),)),
    "monitor killed twice": Scenario(blows=(blow(Deed.KILL, at_s=1.6), blow(Deed.KILL, at_s=4.5))),
    "monitor killed while answers are missing": Scenario(
        blows=(fault("lose_answer_after_apply", hang_s=5), blow(Deed.KILL, at_s=2.3))
    ),
    "monitor frozen for a moment": Scenario(blows=(blow(Deed.FREEZE, for_s=1.0),)),
    "monitor frozen past lease and quiet period": Scenario(blows=(blow(Deed.FREEZE, for_s=PAST_EVERYTHING_S),)),
    "monitor frozen while answers are missing": Scenario(
        blows=(fault("lose_answer_after_apply", hang_s=5), blow(Deed.FREEZE, at_s=2.2, for_s=PAST_EVERYTHING_S))
    ),
    "answers lost": Scenario(blows=(fault("lose_answer_after_apply", hang_s=5),)),
    "requests lost": Scenario(blows=(fault("lose_request", hang_s=5),)),
    "effects late within the bound": Scenario(blows=(fault("apply_late_s", seconds=BOUND_S / 2),)),
    "connections reset after the effect": Scenario(blows=(fault("reset_connection", with_effect=True),)),
    "rate limited": Scenario(blows=(fault("too_many_requests", retry_after_s=1),)),
    "half an answer": Scenario(blows=(fault("malformed_json"),)),
    "PostgreSQL away at the mark": Scenario(blows=(blow(Deed.CUT, "postgres", at_s=1.0, for_s=6.0),)),
    "Valkey away at the mark": Scenario(blows=(blow(Deed.CUT, "valkey", at_s=1.0, for_s=6.0),)),
    "PostgreSQL and Valkey away, answers lost": Scenario(
        blows=(
            blow(Deed.CUT, "postgres", at_s=1.0, for_s=5.0),
            blow(Deed.CUT, "valkey", at_s=1.0, for_s=5.0),
            fault("lose_answer_after_apply", hang_s=5),
        )
    ),
    "monitor cut off from PostgreSQL, its successor is not": Scenario(blows=(blow(Deed.ALONE, at_s=1.0),)),
    "second sends allowed, requests lost": Scenario(
        blows=(fault("lose_request", hang_s=5),), environment={"AXISOR_SECOND_SEND": "true"}
    ),
    "random role every few seconds, 1": Scenario(
        blows=seeded_blows(1, OTHERS, seconds=12, every_s=4), roles=OTHERS, warning_s=20
    ),
    "random role every few seconds, 2": Scenario(
        blows=seeded_blows(2, OTHERS, seconds=12, every_s=4), roles=OTHERS, warning_s=20
    ),
    "without the guard": Scenario(is_guarded=False, settles_s=1.0, warning_s=5.0),
    "without a quiet period": Scenario(
        blows=(fault("apply_late_s", seconds=BOUND_S * 2),), module="tests.fire.mutants.no_quiet_period"
    ),
    "with a resend on time-out": Scenario(
        blows=(fault("lose_answer_after_apply", hang_s=5),), module="tests.e2e.mutants.resend_on_timeout"
    ),
    "lost in mid-crash, for good": Scenario(
        blows=(blow(Deed.KILL, at_s=1.0),), has_successor=False, deepest_usd=58_800.0, warning_s=6.0, settles_s=1.0
    ),
}
WITH_HARM: Final = {
    "without the guard",
    "without a quiet period",
    "with a resend on time-out",
    "lost in mid-crash, for good",
}
SURVIVED: Final = [name for name in SCENARIOS if name not in WITH_HARM]


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
    judgement = fights(name)
    tally.append(judgement)
    record_property("figures", str(judgement))

    assert (judgement.lost, judgement.doubled, judgement.over_limit_sats, judgement.liquidated) == (0, 0, 0, 0), (
        judgement
    )
    assert judgement.discrepancies == []
    assert judgement.due == SCENARIOS[name].trades
    # Every trade had more warning than takeover, quiet period and a slow machine need.
    assert judgement.alive + judgement.closed_by_stop == SCENARIOS[name].trades
    assert judgement.alive >= SCENARIOS[name].trades / 2, judgement
    assert min(judgement.warning_s) > LEASE_S + QUIET_S + 2


@pytest.mark.parametrize("name", ["without the guard"])
def test_every_due_top_up_is_lost(name: str, fights: Callable[[str], Judgement]) -> None:
    judgement = fights(name)

    assert judgement.lost == judgement.due == SCENARIOS[name].trades
    assert judgement.alive == 0


@pytest.mark.parametrize("name", ["without a quiet period", "with a resend on time-out"])
def test_a_missing_safeguard_pays_twice(name: str, fights: Callable[[str], Judgement]) -> None:
    assert fights(name).doubled > 0


@pytest.mark.parametrize("name", ["lost in mid-crash, for good"])
def test_each_trade_closes_at_its_stop_before_liquidation(name: str, fights: Callable[[str], Judgement]) -> None:
    judgement = fights(name)

    assert judgement.closed_by_stop == SCENARIOS[name].trades
    assert judgement.liquidated == 0


def test_a_quiet_period_shorter_than_window_and_bound_is_refused() -> None:
    short = {"AXISOR_SIGNATURE_WINDOW_S": "2", "AXISOR_APPLY_BOUND_S": "1", "AXISOR_QUIET_PERIOD_S": "2.9"}

    with pytest.raises(ConfigurationError, match="AXISOR_QUIET_PERIOD_S"):
        load(short)

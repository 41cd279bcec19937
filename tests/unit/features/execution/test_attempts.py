from dataclasses import replace
from datetime import timedelta

import pytest
from tests.factories.guard import NOW, an_attempt

from axisor.domain.errors import Conflict
from axisor.features.execution.attempts import (
    APPLIED_STATES,
    OPEN_STATES,
    AttemptState,
    advance,
    next_tag,
    tagged_amount_sats,
)

LATER = NOW + timedelta(seconds=1)
S = AttemptState
STEPS = {
    (S.SENT, S.CONFIRMED),
    (S.SENT, S.REFUSED),
    (S.SENT, S.NOT_PROCESSED),
    (S.SENT, S.UNKNOWN),
    (S.UNKNOWN, S.CONFIRMED),
    (S.UNKNOWN, S.NOT_APPLIED),
    (S.UNKNOWN, S.LATE_CONFIRMED),
    (S.REFUSED, S.LATE_CONFIRMED),
    (S.NOT_PROCESSED, S.LATE_CONFIRMED),
    (S.NOT_APPLIED, S.LATE_CONFIRMED),
}


@pytest.mark.parametrize("after", AttemptState)
@pytest.mark.parametrize("before", AttemptState)
def test_an_attempt_goes_forward_only(before: AttemptState, after: AttemptState) -> None:
    attempt = replace(an_attempt(), state=before)
    if (before, after) in STEPS:
        assert advance(attempt, after, at=LATER).state is after
    else:
        with pytest.raises(Conflict):
            advance(attempt, after, at=LATER)


def test_only_a_settled_attempt_bears_the_instant_and_the_newest_reason() -> None:
    unknown = advance(an_attempt(), S.UNKNOWN, at=LATER, reason="timeout")
    assert (unknown.settled_at, unknown.reason) == (None, "timeout")
    confirmed = advance(unknown, S.CONFIRMED, at=LATER)
    assert (confirmed.settled_at, confirmed.reason) == (LATER, "timeout")
    late = advance(advance(unknown, S.NOT_APPLIED, at=NOW), S.LATE_CONFIRMED, at=LATER, reason="counter")
    assert (late.settled_at, late.reason) == (LATER, "counter")


def test_unknown_is_open_and_neither_applied_nor_failed() -> None:
    assert [state for state in AttemptState if replace(an_attempt(), state=state).is_open] == [S.SENT, S.UNKNOWN]
    assert frozenset({S.CONFIRMED, S.LATE_CONFIRMED}) == APPLIED_STATES
    assert not OPEN_STATES & APPLIED_STATES


def test_tags_go_round_and_skip_those_in_use() -> None:
    assert next_tag([], last_tag=None) == 1
    assert next_tag([], last_tag=7) == 8
    assert next_tag([8, 9], last_tag=7) == 10
    assert next_tag([], last_tag=999) == 1
    assert next_tag([999, 1], last_tag=998) == 2
    assert next_tag(range(1, 999), last_tag=999) == 999


def test_without_a_free_tag_nothing_is_invented() -> None:
    with pytest.raises(Conflict):
        next_tag(range(1, 1000), last_tag=5)


@pytest.mark.parametrize(
    ("amount", "cap", "tag", "expected"),
    [
        (207_947, 400_000, 1, (208_001, 1)),
        (207_947, 400_000, 947, (207_947, 947)),
        (207_947, 208_000, 1, (207_001, 1)),
        (192_053, 192_053, 2, (192_002, 2)),
        (5_000, 5_998, 999, (4_999, 999)),
        (500, 999, 501, (500, 500)),  # so little is its own tag
        (700, 500, 501, (500, 500)),
        (1_000, 1_000, 999, (999, 999)),
        (1, 1, 1, (1, 1)),
        (0, 10, 1, None),
        (10, 0, 1, None),
        (-5, 10, 1, None),
    ],
)
def test_an_amount_ends_in_its_tag_and_stays_within_the_cap(
    amount: int, cap: int, tag: int, expected: tuple[int, int] | None
) -> None:
    assert tagged_amount_sats(amount_sats=amount, cap_sats=cap, tag=tag) == expected

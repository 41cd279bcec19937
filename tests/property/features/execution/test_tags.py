"""Amounts that tell attempts apart, and the counter that they are read from."""

from itertools import chain, combinations

from hypothesis import assume, given
from hypothesis import strategies as st
from tests.factories.guard import an_attempt
from tests.factories.trades import TRADE_ID

from axisor.domain.commands import AddMargin
from axisor.features.execution.attempts import Attempt, next_tag, tagged_amount_sats
from axisor.features.execution.settlement import explain_growth

tags = st.integers(1, 999)
amounts = st.integers(1, 3_000_000)


@given(amount=amounts, room=st.integers(0, 5_000), tag=tags)
def test_a_tagged_amount_is_the_nearest_that_the_cap_allows(amount: int, room: int, tag: int) -> None:
    cap = amount + room
    found = tagged_amount_sats(amount_sats=amount, cap_sats=cap, tag=tag)
    assert found is not None
    tagged, used = found
    assert 0 < tagged <= cap
    assert tagged % 1000 == used
    candidates = range(tag, cap + 1, 1000)
    if cap < 1000:
        assert tagged == amount
    elif candidates[-1] >= amount:
        assert tagged == min(candidate for candidate in candidates if candidate >= amount)
    elif cap < 2000:
        assert amount - 1 <= tagged <= amount  # the last digits of the amount itself, never next to nothing
    else:
        assert tagged == candidates[-1]


@given(amount=st.integers(-10, 10), cap=st.integers(-10, 0), tag=tags)
def test_without_a_cap_nothing_is_sent(amount: int, cap: int, tag: int) -> None:
    assert tagged_amount_sats(amount_sats=amount, cap_sats=cap, tag=tag) is None


@given(used=st.sets(tags, max_size=998), last=st.none() | tags)
def test_a_tag_is_free_and_comes_after_the_last(used: set[int], last: int | None) -> None:
    tag = next_tag(used, last_tag=last)
    assert 1 <= tag <= 999
    assert tag not in used
    passed_over = {
        (step - 1) % 999 + 1 for step in range((last or 0) + 1, (last or 0) + 1 + (tag - (last or 0) - 1) % 999)
    }
    assert passed_over <= used


@given(wanted=st.lists(st.integers(1_000, 900_000), min_size=2, max_size=6), last=tags)
def test_amounts_of_open_attempts_are_told_apart(wanted: list[int], last: int) -> None:
    used: list[int] = []
    found = []
    for amount in wanted:
        tag = next_tag(used, last_tag=last)
        tagged = tagged_amount_sats(amount_sats=amount, cap_sats=amount + 2_000, tag=tag)
        assert tagged is not None
        found.append(tagged[0])
        used.append(tagged[1])
        last = tag
    assert len(set(found)) == len(found)


def attempts_of(amounts_sats: list[int]) -> list[Attempt]:
    return [
        an_attempt(AddMargin(trade_id=TRADE_ID, amount_sats=amount), attempt_no=number)
        for number, amount in enumerate(amounts_sats, start=1)
    ]


def sums(amounts_sats: list[int]) -> set[int]:
    sets = chain.from_iterable(combinations(amounts_sats, size) for size in range(len(amounts_sats) + 1))
    return {sum(chosen) for chosen in sets}


@given(amounts_sats=st.lists(st.integers(1, 400), max_size=6), growth=st.integers(-50, 2_500))
def test_the_explanation_is_the_largest_that_the_growth_holds(amounts_sats: list[int], growth: int) -> None:
    verdict = explain_growth(attempts_of(amounts_sats), growth_sats=growth)
    applied = sum(attempt.amount_sats or 0 for attempt in verdict.applied)
    assert applied == max((total for total in sums(amounts_sats) if total <= growth), default=0)
    assert verdict.foreign_sats == max(0, growth) - applied
    assert len({attempt.attempt_no for attempt in verdict.applied}) == len(verdict.applied)


@given(data=st.data(), wanted=st.lists(st.integers(1_000, 900_000), min_size=1, max_size=5))
def test_what_arrived_is_found_by_its_tags(data: st.DataObject, wanted: list[int]) -> None:
    amounts_sats = [(amount // 1000) * 1000 + number for number, amount in enumerate(wanted, start=1)]
    assume(len(sums(amounts_sats)) == 2 ** len(amounts_sats))
    arrived = data.draw(st.sets(st.sampled_from(amounts_sats)))
    verdict = explain_growth(attempts_of(amounts_sats), growth_sats=sum(arrived))
    assert {attempt.amount_sats for attempt in verdict.applied} == arrived
    assert verdict.foreign_sats == 0

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from axisor.domain.units import TradeId
from axisor.features.margin_guard.allocation import Need, allocate, kept_by

needs_strategy = st.lists(
    st.builds(
        Need,
        trade_id=st.uuids().map(lambda uuid: TradeId(str(uuid))),
        wanted_sats=st.integers(0, 10**6),
        at_stake_sats=st.integers(0, 10**6),
    ),
    max_size=8,
    unique_by=lambda need: need.trade_id,
)
frees = st.integers(-10, 4 * 10**6)


@given(needs=needs_strategy, free_sats=frees)
def test_no_sat_is_shared_out_that_is_not_there_or_not_wanted(needs: list[Need], free_sats: int) -> None:
    amounts = allocate(needs, free_sats)
    wanted = sum(need.wanted_sats for need in needs)
    assert sum(amounts.values()) == min(max(0, free_sats), wanted)
    assert all(0 <= amounts[need.trade_id] <= need.wanted_sats for need in needs)
    assert sum(1 for need in needs if 0 < amounts[need.trade_id] < need.wanted_sats) <= 1


@given(needs=needs_strategy.filter(bool), free_sats=frees)
def test_equal_shares_never_keep_more(needs: list[Need], free_sats: int) -> None:
    share = max(0, free_sats) // len(needs)
    equal = {need.trade_id: min(share, need.wanted_sats) for need in needs}
    assert kept_by(needs, allocate(needs, free_sats)) >= kept_by(needs, equal)


@given(needs=needs_strategy, free_sats=frees, order=st.randoms())
def test_the_order_of_the_question_does_not_matter(needs: list[Need], free_sats: int, order: object) -> None:
    shuffled = list(needs)
    order.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis types its random only loosely
    assert allocate(shuffled, free_sats) == allocate(needs, free_sats)


@given(
    needs=st.lists(
        st.builds(
            Need,
            trade_id=st.uuids().map(lambda uuid: TradeId(str(uuid))),
            wanted_sats=st.integers(0, 9),
            at_stake_sats=st.integers(0, 9),
            is_divisible=st.booleans(),
        ),
        max_size=4,
        unique_by=lambda need: need.trade_id,
    ),
    free_sats=st.integers(0, 25),
)
def test_no_other_way_to_share_keeps_more(needs: list[Need], free_sats: int) -> None:
    best = kept_by(needs, allocate(needs, free_sats))
    for amounts in product(*(range(need.wanted_sats + 1) for need in needs)):
        if sum(amounts) <= free_sats:
            tried = dict(zip((need.trade_id for need in needs), amounts, strict=True))
            assert kept_by(needs, tried) <= best


@given(
    needs=st.lists(
        st.builds(
            Need,
            trade_id=st.uuids().map(lambda uuid: TradeId(str(uuid))),
            wanted_sats=st.integers(1, 10**6),
            at_stake_sats=st.integers(0, 10**6),
            is_divisible=st.just(value=False),
        ),
        min_size=1,
        max_size=12,
        unique_by=lambda need: need.trade_id,
    ),
    free_sats=frees,
)
def test_who_wants_all_or_nothing_never_gets_a_part(needs: list[Need], free_sats: int) -> None:
    amounts = allocate(needs, free_sats)
    assert sum(amounts.values()) <= max(0, free_sats)
    assert all(amounts[need.trade_id] in (0, need.wanted_sats) for need in needs)

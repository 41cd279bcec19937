"""Trades that the exchange would accept."""

from fractions import Fraction

from hypothesis import strategies as st

from axisor.domain.trades import PositionSide
from axisor.domain.units import Price

sides = st.sampled_from(PositionSide)
prices = st.integers(2 * 1_000, 2 * 1_000_000).map(Price)
quantities_usd = st.integers(1, 500_000)
leverages = st.one_of(
    st.integers(1, 100).map(Fraction), st.fractions(min_value=1, max_value=100, max_denominator=1_000)
)

"""The two sides of a trade."""

import pytest

from axisor.domain.trades import PositionSide


@pytest.mark.parametrize("side", list(PositionSide))
def test_the_opposite_side_gains_what_this_one_loses(side: PositionSide) -> None:
    assert side.opposite is not side
    assert side.opposite.sign == -side.sign
    assert side.opposite.opposite is side

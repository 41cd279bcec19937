from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from axisor.paper.market.curves import MonotoneCurve

heights = st.lists(st.integers(-1000, 1000), min_size=2, max_size=8)


@given(heights)
def test_a_curve_goes_through_its_points_and_stays_between_neighbours(ys: list[int]) -> None:
    curve = MonotoneCurve([(float(x), float(y)) for x, y in enumerate(ys)])
    for i in range(len(ys) - 1):
        assert curve.at(float(i)) == ys[i]
        inside = [curve.at(i + step / 10) for step in range(11)]
        slack = 1e-9
        assert min(ys[i], ys[i + 1]) - slack <= min(inside) <= max(inside) <= max(ys[i], ys[i + 1]) + slack
        rising = ys[i] <= ys[i + 1]
        assert all((b - a >= -slack) if rising else (b - a <= slack) for a, b in pairwise(inside))


def test_after_its_last_point_a_curve_is_level_and_may_be_asked_again_from_the_start() -> None:
    curve = MonotoneCurve([(0.0, 1.0), (1.0, 5.0), (2.0, 3.0)])
    assert curve.at(100.0) == 3.0
    assert curve.at(1.5) != 3.0
    assert curve.at(0.0) == 1.0

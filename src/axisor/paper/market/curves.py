"""A smooth curve through the points of a story, without overshooting any of them."""

from collections.abc import Sequence


class MonotoneCurve:
    """The monotone cubic interpolation of Fritsch and Carlson (1980), constant after its last point."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self._x = [x for x, _ in points]
        self._y = [y for _, y in points]
        self._slopes = _slopes(self._x, self._y)
        self._segment = 0

    def at(self, x: float) -> float:
        """Return the curve's value at `x` not before its first point; quick when asked for increasing `x`."""
        last = len(self._x) - 1
        if x >= self._x[last]:
            return self._y[last]
        if x < self._x[self._segment]:
            self._segment = 0
        while x >= self._x[self._segment + 1]:
            self._segment += 1
        i = self._segment
        width = self._x[i + 1] - self._x[i]
        u = (x - self._x[i]) / width
        square, cube = u * u, u * u * u
        return (
            (2 * cube - 3 * square + 1) * self._y[i]
            + (cube - 2 * square + u) * width * self._slopes[i]
            + (3 * square - 2 * cube) * self._y[i + 1]
            + (cube - square) * width * self._slopes[i + 1]
        )


def _slopes(x: Sequence[float], y: Sequence[float]) -> list[float]:
    """Return the slope at each point: harmonic mean of the neighbours, 0 at the ends and where they turn."""
    secants = [(y[i + 1] - y[i]) / (x[i + 1] - x[i]) for i in range(len(x) - 1)]
    slopes = [0.0] * len(x)
    for i in range(1, len(x) - 1):
        before, after = secants[i - 1], secants[i]
        if before * after > 0:
            slopes[i] = 2 * before * after / (before + after)
    return slopes

"""Minutes of price, recorded and made up, for the simulation of nights."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from axisor.features.lab.simulate import Minutes, load_minutes

RECORDED = "shared/data/btcusd-1m-2018.csv.gz"


def year_2018() -> Path | None:
    """Return the file of the recorded year where it lies beside the checkout."""
    return next((path for above in Path(__file__).parents if (path := above / RECORDED).exists()), None)


@cache
def minutes_of_2018() -> Minutes:
    """Return the recorded minutes, where they lie beside the checkout; otherwise the test is skipped."""
    found = year_2018()
    if found is None:
        pytest.skip(f"the recorded minutes are not here: {RECORDED} beside the checkout")
    return load_minutes(found)


def a_stormy_market(*, days: int, seed: int) -> Minutes:
    """Return minutes as wild as the worst of 2018: a random walk with jumps between minutes."""
    random = np.random.default_rng(seed)
    count = days * 24 * 60
    steps = random.normal(0, 0.0012, count) + random.choice([0, 0.02, -0.02], count, p=[0.996, 0.002, 0.002])
    close = 6_000 * np.exp(np.cumsum(steps))
    open_ = np.concatenate([[6_000.0], close[:-1]]) * np.exp(
        random.choice([0, 0.012, -0.012], count, p=[0.996, 0.002, 0.002])
    )
    high = np.maximum(open_, close) * np.exp(np.abs(random.normal(0, 0.0006, count)))
    low = np.minimum(open_, close) * np.exp(-np.abs(random.normal(0, 0.0006, count)))
    return Minutes(open=open_, high=high, low=low, close=close, rows=count, sha256="")

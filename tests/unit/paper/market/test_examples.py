"""The examples in the docstrings of the market models are true."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["paths", "scenarios", "ladder", "tape"])
def test_every_example_of_a_market_module_gives_what_it_says(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"axisor.paper.market.{name}"))
    assert results.attempted > 0
    assert results.failed == 0

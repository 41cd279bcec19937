"""The examples in the docstrings are run."""

import doctest
from types import ModuleType

import pytest

from axisor.features.execution import attempts
from axisor.features.lab import nights, replay


@pytest.mark.parametrize("module", [attempts, nights, replay], ids=lambda module: module.__name__)
def test_examples_say_the_truth(module: ModuleType) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0

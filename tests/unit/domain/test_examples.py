"""The examples in the docstrings of the domain are true."""

import doctest
import importlib
import pkgutil

import pytest
from tests.factories.trades import a_funding_fee, a_running_trade

import axisor.domain

MODULES = [module.name for module in pkgutil.iter_modules(axisor.domain.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_every_example_of_a_domain_module_gives_what_it_says(name: str) -> None:
    module = importlib.import_module(f"axisor.domain.{name}")
    failures: list[str] = []
    runner = doctest.DocTestRunner()
    givens = {"a_running_trade": a_running_trade, "a_funding_fee": a_funding_fee}
    for example in doctest.DocTestFinder().find(module, extraglobs=givens):
        runner.run(example, out=failures.append)
    assert not failures, "\n".join(failures)


FORMULAS = [
    "pnl",
    "margin",
    "liquidation",
    "fees",
    "funding",
    "adjustments",
    "cross",
    "tpsl",
    "room",
    "equity",
    "counter",
    "synthetic_usd",
]


@pytest.mark.parametrize("name", ["contract", *FORMULAS])
def test_every_public_function_of_the_maths_carries_an_example(name: str) -> None:
    module = importlib.import_module(f"axisor.domain.{name}")
    public = [
        member
        for key, member in vars(module).items()
        if callable(member) and not key.startswith("_") and getattr(member, "__module__", "") == module.__name__
    ]
    without = [
        member.__name__ for member in public if not isinstance(member, type) and ">>>" not in (member.__doc__ or "")
    ]
    assert without == []

"""Axisor: watches leveraged positions on LN Markets, acts before liquidation, and proves what it did."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("axisor")
except PackageNotFoundError:  # run from a checkout without an install
    __version__ = "0.1.0"

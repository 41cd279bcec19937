"""Fixtures every test may ask for."""

from hypothesis import settings

pytest_plugins = ["tests.fixtures.engines", "tests.fixtures.folders", "tests.fixtures.up", "tests.fixtures.worker"]

# How long one example takes says something about the machine, not about the code: benchmarks measure that.
settings.register_profile("axisor", deadline=None)
settings.load_profile("axisor")

"""Fixtures every test may ask for."""

pytest_plugins = ["tests.fixtures.engines", "tests.fixtures.folders", "tests.fixtures.worker"]

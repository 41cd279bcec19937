"""Fixtures of the api's tests."""

from tests.fixtures.api import api, module_api

__all__ = ["api", "module_api"]

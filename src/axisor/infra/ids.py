"""Identifiers made by the application."""

from uuid_utils.compat import uuid7


def new_id() -> str:
    """Return a UUIDv7: unique, and ordered by the millisecond of its making."""
    return str(uuid7())

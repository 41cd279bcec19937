"""Database addresses in the two spellings that we meet."""

from sqlalchemy.engine import URL, make_url


def sqlalchemy_url(url: str) -> URL:
    """Return the address for SQLAlchemy's asyncpg dialect; `postgres://` and `postgresql://` are accepted."""
    parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    return parsed.set(drivername="postgresql+asyncpg")


def driver_url(url: str) -> str:
    """Return the address as the bare asyncpg driver reads it, password included: never log it."""
    return sqlalchemy_url(url).set(drivername="postgresql").render_as_string(hide_password=False)

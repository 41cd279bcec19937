"""Applies the migrations that ship with the program."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from axisor.domain.errors import ConfigurationError
from axisor.infra.db.urls import sqlalchemy_url


def migrations_folder() -> Path:
    """Return the folder of migrations: beside the sources in a checkout, inside the package when installed."""
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "migrations", package.parents[1] / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise ConfigurationError(f"the migrations are missing: looked beside {package}")


def migrate(owner_url: str, *, revision: str = "head") -> None:
    """Bring the schema to `revision`; safe to run from several starts at once."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    rendered = sqlalchemy_url(owner_url).render_as_string(hide_password=False)
    config.set_main_option("sqlalchemy.url", rendered.replace("%", "%%"))
    command.upgrade(config, revision)

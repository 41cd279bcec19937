"""The embedded engines of one data folder: a real PostgreSQL and a real Valkey from wheels."""

from pathlib import Path
from types import TracebackType
from typing import Self

from axisor.infra.engines import folder
from axisor.infra.engines.postgres import Postgres
from axisor.infra.engines.valkey import Valkey


class Engines:
    """PostgreSQL and Valkey of `data_dir`; a context manager that starts and stops both."""

    def __init__(self, data_dir: Path, *, is_durable: bool = True) -> None:
        self.data_dir = folder.open_folder(data_dir)
        self.passwords = folder.passwords(self.data_dir)
        owner = folder.owner_of(self.data_dir)
        self.postgres = Postgres(self.data_dir, owner=owner, password=self.passwords["postgres"], is_durable=is_durable)
        self.valkey = Valkey(self.data_dir, owner=owner, password=self.passwords["valkey"])

    @property
    def role_passwords(self) -> dict[str, str]:
        """The passwords of the application's database roles, by role."""
        return {role: self.passwords[role] for role in folder.ROLES}

    def database_url(self, role: str, *, database: str = "axisor") -> str:
        """Return the address of `database` for one of the application's roles."""
        return self.postgres.url(user=role, password=self.passwords[role], database=database)

    def start(self) -> None:
        """Start both and return when both answer."""
        self.postgres.start()
        self.valkey.start()

    def stop(self) -> None:
        """Stop both cleanly, side by side."""
        self.postgres.ask_to_stop()
        self.valkey.stop()
        self.postgres.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

"""The monitor with the mistake that it believes in its lease for ever."""

from axisor.cli.main import main
from axisor.infra.lease import FileLease

FileLease.is_held = property(lambda self: self._fence is not None)  # type: ignore[assignment,method-assign]
FileLease.renew = lambda _: None  # type: ignore[method-assign,assignment]
main()

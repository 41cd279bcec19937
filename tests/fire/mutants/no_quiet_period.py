"""The monitor with the mistake that an effect counts as absent as soon as a reading does not show it."""

from axisor.cli.main import main
from axisor.settings import GuardSettings

GuardSettings.quiet_period_s = property(lambda _: 0.0)  # type: ignore[assignment,method-assign]
main()

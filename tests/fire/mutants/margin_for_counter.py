"""The monitor with the mistake that outcomes are read from the margin alone."""

from axisor.cli.main import main
from axisor.features.execution import outcome
from axisor.monitor.book import WatchedTrade

WatchedTrade.counter_of = lambda _, trade: trade.margin_sats  # type: ignore[method-assign]
outcome.added_sats = lambda trade, **_: trade.margin_sats
main()

"""What could fund a top-up beside the free balance, as it stands now: facts for the policy."""

from datetime import datetime, timedelta
from typing import Final

from axisor.domain.commands import CommandName
from axisor.domain.trades import PositionSide, TradeStatus
from axisor.domain.units import Price
from axisor.features.execution.attempts import APPLIED_STATES, Attempt, AttemptState, CauseKind
from axisor.features.margin_guard.policy import Means, OtherTrade
from axisor.features.margin_guard.profit import available_profit_sats
from axisor.features.margin_guard.steps import FundingSource
from axisor.monitor.book import AccountBook, WatchedTrade
from axisor.monitor.causes import StepCause, read_key
from axisor.monitor.market import MarketState
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock

BALANCE_READ_WITHIN: Final = timedelta(seconds=5)
"""How long sats that have arrived are waited for in the reading of the balance."""
SETTLED_WITHIN: Final = timedelta(seconds=3)
"""How long after its quiet period the reading that settles an outcome is waited for."""
ANSWERED_WITHIN: Final = timedelta(seconds=5)
"""How long the answer to what was just sent is waited for."""
TRIED_AGAIN_WITHIN: Final = timedelta(seconds=1)
"""How long a source that was not reached is waited for before the next one, or a part, is used."""
_NO_QUANTITY: Final = 1
GATHER_COMMANDS: Final = frozenset({CommandName.CASH_IN, CommandName.SWAP, CommandName.DEPOSIT_LIGHTNING})


class Sources:
    """The other sources of one account."""

    def __init__(self, *, book: AccountBook, wallet: Wallet, market: MarketState, clock: Clock) -> None:
        self._book = book
        self._wallet = wallet
        self._market = market
        self._clock = clock

    def means(self, watched: WatchedTrade, *, now: datetime, boottime_s: float) -> Means:
        """Return what may fund a top-up of a trade now; a source that just failed holds nothing for a while."""
        rule = watched.rule
        if rule is None or not (rule.looks_at_others or rule.gathers):
            return Means()
        gathered = self._gathering_attempts(watched)
        return Means(
            others=self._others(watched, boottime_s=boottime_s) if rule.looks_at_others else (),
            synthetic_usd_cents=self._cents(watched, boottime_s) if FundingSource.SWAP in rule.sources else 0,
            swap_price=self._swap_price(boottime_s) if FundingSource.SWAP in rule.sources else None,
            node_sats=self._node_sats(watched, boottime_s) if FundingSource.DEPOSIT in rule.sources else 0,
            gathered_sats=sum(_brought_sats(attempt, cause) for attempt, cause in gathered if _is_for(watched, cause)),
            arrives_until=self._arrives_until(watched, [attempt for attempt, _ in gathered], now, boottime_s),
        )

    def _others(self, watched: WatchedTrade, *, boottime_s: float) -> tuple[OtherTrade, ...]:
        assert watched.rule is not None
        takes_profit = FundingSource.CASH_IN in watched.rule.sources
        return tuple(
            OtherTrade(
                trade_id=other.trade_id,
                side=other.trade.side,
                quantity_usd=other.trade.quantity_usd,
                liquidation_price=other.trade.liquidation_price,
                profit_sats=self._profit_sats(watched, other, boottime_s) if takes_profit else 0,
            )
            for other in self._book.trades.values()
            if other is not watched and other.is_read and other.trade.status is TradeStatus.RUNNING
        )

    def _profit_sats(self, watched: WatchedTrade, other: WatchedTrade, boottime_s: float) -> int:
        """Return what may be taken out of another trade: nothing while anything about it is in doubt."""
        is_taken = other.is_taking_back and other.taking_for != watched.trade_id
        is_blocked = self._wallet.blocks_money_in() or watched.is_held_back(CommandName.CASH_IN, boottime_s)
        if is_taken or is_blocked or other.is_missing or other.open_cash_ins() or other.open_top_ups():
            return 0
        price = self._market.trigger_price(other.trade.side, other.trade.quantity_usd, boottime_s)
        if price is None:
            return 0
        return available_profit_sats(
            other.trade,
            price=price,
            own_stop_price=own_stop_price(other),
            stop_share=None if other.rule is None else other.rule.stop_share,
        )

    def _cents(self, watched: WatchedTrade, boottime_s: float) -> int:
        if self._wallet.blocks_money_in() or watched.is_held_back(CommandName.SWAP, boottime_s):
            return 0
        return self._wallet.synthetic_usd_cents

    def _node_sats(self, watched: WatchedTrade, boottime_s: float) -> int:
        if self._wallet.blocks_money_in() or watched.is_held_back(CommandName.DEPOSIT_LIGHTNING, boottime_s):
            return 0
        return self._wallet.node_sats

    def _swap_price(self, boottime_s: float) -> Price | None:
        """Return the ask: dollars become sats at the price at which sats are bought."""
        return self._market.trigger_price(PositionSide.SHORT, _NO_QUANTITY, boottime_s)

    def _gathering_attempts(self, watched: WatchedTrade) -> list[tuple[Attempt, StepCause]]:
        found = []
        for attempt in self._book.attempts():
            if attempt.command.name in GATHER_COMMANDS and attempt.cause.kind is CauseKind.RULE:
                cause = read_key(attempt.cause.key)
                if cause is not None and cause.for_trade_id == watched.trade_id:
                    found.append((attempt, cause))
        return found

    def _arrives_until(
        self, watched: WatchedTrade, attempts: list[Attempt], now: datetime, boottime_s: float
    ) -> datetime | None:
        """Return until when sats for a trade may still come into the balance, None where none are on their way."""
        ends = [
            attempt.quiet_until + SETTLED_WITHIN
            if attempt.state is AttemptState.UNKNOWN
            else attempt.signed_at + ANSWERED_WITHIN
            for attempt in attempts
            if attempt.is_open
        ]
        ends += [
            (attempt.settled_at or attempt.signed_at) + BALANCE_READ_WITHIN
            for attempt in attempts
            if attempt.state in APPLIED_STATES
            and not self._wallet.is_read_since(attempt.settled_at or attempt.signed_at)
        ]
        ends += [
            (attempt.settled_at or attempt.signed_at) + TRIED_AGAIN_WITHIN
            for attempt in attempts
            if attempt.state is AttemptState.NOT_PROCESSED
        ]
        if watched.gathering_until_s is not None and watched.gathering_until_s > boottime_s:
            ends.append(now + timedelta(seconds=watched.gathering_until_s - boottime_s))
        return max(ends, default=None)


def own_stop_price(watched: WatchedTrade) -> Price | None:
    """Return the stop that counts as ours: the present one where we set it, else the last one we set."""
    stop = watched.trade.stop_loss_price
    return stop if stop in watched.own_stops else watched.own_stop_price


def _is_for(watched: WatchedTrade, cause: StepCause) -> bool:
    """Return whether a step has not been carried out since sats were fetched for it."""
    state = watched.rungs.get(cause.rung)
    return state is None or (state.is_armed and state.arming_no == cause.arming_no)


def _brought_sats(attempt: Attempt, cause: StepCause) -> int:
    return (attempt.amount_sats or cause.sats) if attempt.state in APPLIED_STATES else 0

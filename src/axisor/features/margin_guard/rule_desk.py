"""Rules of a person, an account, a trade and the cross position: read, shown first, saved, taken away.

A rule that would act the moment it is saved is refused, at every scope and for every trade it would hold for. One that
contradicts itself, a trade or its owner's own orders is saved only where its author was shown that and says so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import Conflict as StoredDiffers
from axisor.domain.errors import DomainError, InvalidRule, NotFound, NotPermitted, TradeNotRunning
from axisor.domain.trades import Trade, TradeStatus
from axisor.domain.units import ExchangeAccountId, Price, RuleId, TradeId, UserId, usd_number
from axisor.features.execution.cross_positions import StoredCross, find_cross
from axisor.features.execution.positions import StoredPosition, find_position, list_positions
from axisor.features.margin_guard import repository
from axisor.features.margin_guard.conflicts import Conflict, ConflictKind, find_conflicts
from axisor.features.margin_guard.cross_policy import as_cross_rule, room_of_position, trade_of_position
from axisor.features.margin_guard.deeds import OtherTrade, Spending
from axisor.features.margin_guard.inheritance import effective_rule, rule_for
from axisor.features.margin_guard.ladder import Ladder, conflict_view, ladder
from axisor.features.margin_guard.marks import full_room, step_price
from axisor.features.margin_guard.new_trades import is_offered, preset_for
from axisor.features.margin_guard.plan import fires_now
from axisor.features.margin_guard.repository import AccountScope, CrossScope, RuleScope, TradeScope, UserScope
from axisor.features.margin_guard.rule import HOLD_MAX_LEVERAGE, NEAREST_MARK_DISTANCE, GuardRule, Preset, preset_rule
from axisor.features.margin_guard.rulebook import NO_RULE_VERSION, NewTrades, RuleBook
from axisor.features.margin_guard.steps import AtPrice
from axisor.features.notifications.events import Activity, ActivityKind, Severity
from axisor.features.notifications.service import record
from axisor.features.trading import repository as trading
from axisor.features.trading.repository import ExchangeAccount, Spent
from axisor.features.trading.service import fee_rate_of
from axisor.features.trading.views import added_sats
from axisor.infra import keys, outbox
from axisor.infra.db.session import Database
from axisor.infra.valkey import Valkey, nudge
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

PRESETS = (Preset.WATCH, Preset.HOLD, Preset.HOLD_LONGER, Preset.CUT)
TOO_MUCH_LEVERAGE = "too_much_leverage"


class FiresNow(DomainError):
    """The price has passed a mark of the rule already: saving it would act at once."""

    code = "fires_now"


class RuleConflicts(StoredDiffers):
    """The rule contradicts itself, the trade or its owner's orders; the context has the prices that show it."""

    code = "rule_conflicts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A rule as its author wants it, the version they looked at, and whether they saw its contradictions."""

    rule: GuardRule
    version: int
    accepts_conflicts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedPreset:
    """A preset with the numbers of one trade; `reason` says why it isn't offered."""

    preset: Preset
    rule: GuardRule | None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeRules:
    """The rule stored at a scope, what it would inherit, and what holds in the end."""

    own: GuardRule | None
    inherited: GuardRule | None
    effective: GuardRule | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRules(ScopeRules):
    new_trades: NewTrades


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeRules(ScopeRules):
    is_guarded: bool
    presets: tuple[OfferedPreset, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownLadder:
    """What a rule that was not saved would do, the rule as it would hold, and the trade."""

    trade: Trade
    rule: GuardRule
    ladder: Ladder


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holdings:
    """An account with its running trades and all rules that bear on it."""

    account: ExchangeAccount
    book: RuleBook
    positions: tuple[StoredPosition, ...]
    spent: Spent

    def spending(self, trade_id: TradeId) -> Spending:
        spent_sats, count = self.spent.by_trade.get(trade_id, (0, 0))
        return Spending(
            position_spent_sats=spent_sats,
            position_count=count,
            account_day_spent_sats=self.spent.day_sats,
            balance_sats=self.account.balance_sats,
            is_stopped=False,  # what is shown is what the rule does while it may spend
            account_spent_sats=self.spent.running_sats,
        )

    def others(self, trade_id: TradeId) -> tuple[OtherTrade, ...]:
        return tuple(
            OtherTrade(
                trade_id=position.trade.trade_id,
                side=position.trade.side,
                quantity_usd=position.trade.quantity_usd,
                liquidation_price=position.trade.liquidation_price,
            )
            for position in self.positions
            if position.trade.trade_id != trade_id
        )


class RuleDesk:
    """Everything that a person does with their rules, each piece in one transaction."""

    def __init__(self, *, database: Database, valkey: Valkey, clock: Clock) -> None:
        self._database = database
        self._valkey = valkey
        self._clock = clock

    # Reading

    async def of_user(self, user_id: UserId) -> GuardRule | None:
        """Return the person's rule, None where there is none."""
        async with self._database.transaction(user_id=user_id) as connection:
            return await repository.find_user_rule(connection, user_id)

    async def of_account(self, user_id: UserId, exchange_account_id: ExchangeAccountId) -> AccountRules:
        """Return the rules of an account, and what its new trades get.

        Raises:
            NotFound: the person has no such account.
        """
        async with self._database.transaction(user_id=user_id) as connection:
            book = (await self._account(connection, exchange_account_id)).book
        return AccountRules(
            own=book.account, inherited=book.user, effective=book.wide_rule(), new_trades=book.new_trades
        )

    async def of_cross(self, user_id: UserId, exchange_account_id: ExchangeAccountId) -> ScopeRules:
        """Return the rules of an account's cross position.

        Raises:
            NotFound: the person has no such account.
        """
        async with self._database.transaction(user_id=user_id) as connection:
            book = (await self._account(connection, exchange_account_id)).book
        wide = book.wide_rule()
        return ScopeRules(own=book.cross, inherited=wide, effective=effective_rule(book.cross, book.account, book.user))

    async def of_trade(self, user_id: UserId, exchange_account_id: ExchangeAccountId, trade_id: TradeId) -> TradeRules:
        """Return the rules of a trade, and the presets with its numbers.

        Raises:
            NotFound: the person has no such trade.
        """
        async with self._database.transaction(user_id=user_id) as connection:
            trade, book = await self._trade(connection, exchange_account_id, trade_id)
        own, inherited = book.by_trade.get(trade_id), book.inherited(trade)
        return TradeRules(
            own=own,
            inherited=inherited,
            effective=book.rule_of(trade),
            is_guarded=book.is_guarded(trade_id),
            presets=tuple(_offered(preset, trade, inherited) for preset in PRESETS),
        )

    # Shown first

    async def preview(
        self,
        rule: GuardRule,
        *,
        user_id: UserId,
        exchange_account_id: ExchangeAccountId,
        trade_id: TradeId,
        last_price: Price | None,
        funding_rate: Fraction | None,
    ) -> ShownLadder:
        """Return what a rule would do to a running trade; nothing is saved.

        Raises:
            NotFound: the person has no such trade.
            TradeNotRunning: it does not run.
            InvalidRule: the rule contradicts itself.
        """
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            holdings = await self._holdings(connection, exchange_account_id, now=now)
            position = await self._running(connection, holdings, trade_id)
        trade = position.trade
        _check_for_trade(rule, trade)
        named = _named_for_trade(rule, trade, wide=holdings.book.inherited(trade))
        held = rule_for(trade, own=named, account=holdings.book.account, user=holdings.book.user)
        assert held is not None
        found = _conflicts(holdings, position, held, last_price)
        shown = ladder(
            trade,
            held,
            holdings.spending(trade_id),
            fee_rate=fee_rate_of(holdings.account.fee_tier),
            now=now,
            last_price=last_price,
            funding_rate=funding_rate,
            added_sats=added_sats(position),
            others=holdings.others(trade_id),
            user_stop_price=user_stop_price(position),
            conflicts=found,
        )
        return ShownLadder(trade=trade, rule=held, ladder=shown)

    async def preview_cross(
        self,
        rule: GuardRule,
        *,
        user_id: UserId,
        exchange_account_id: ExchangeAccountId,
        last_price: Price | None,
        funding_rate: Fraction | None,
    ) -> Ladder:
        """Return what a rule would do to the cross position of an account; nothing is saved.

        Raises:
            NotFound: the person has no such account, or no cross position is open.
            InvalidRule: the rule contradicts itself, or names entry margins.
        """
        _check_for_cross(rule)
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            holdings = await self._holdings(connection, exchange_account_id, now=now)
            stored = await find_cross(connection, exchange_account_id)
        cross = None if stored is None else _cross_under(rule, holdings, stored)
        if cross is None:
            raise NotFound("open cross position of account", exchange_account_id)
        return ladder(
            cross.trade,
            cross.rule,
            cross.spending,
            fee_rate=cross.fee_rate,
            now=now,
            last_price=last_price,
            funding_rate=funding_rate,
            conflicts=cross.conflicts(last_price),
            cross_room=cross.full_room,
        )

    # Saving

    async def save_user_rule(self, draft: Draft, *, user_id: UserId, last_price: Price | None) -> GuardRule:
        """Save the person's rule.

        Raises:
            InvalidRule: it contradicts itself, or names a price.
            FiresNow: it would act at once on a trade.
            RuleConflicts: it has contradictions that were not accepted.
            StaleVersion: it was changed since the person looked at it.
        """
        _check_for_many(draft.rule)
        named = _named_for_many(draft.rule)
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            all_holdings = [
                await self._holdings(connection, account.exchange_account_id, now=now)
                for account in await trading.list_accounts(connection)
                if account.is_guarded
            ]
            found = [
                pair
                for holdings in all_holdings
                for pair in _check_trades(holdings, replace(holdings.book, user=named), last_price)
            ]
            rule = await self._store(connection, UserScope(user_id), draft, named, found, user_id=user_id)
            accounts = [account.exchange_account_id for account in await trading.list_accounts(connection)]
            await self._tell(connection, user_id, rule, scope="user", accepted=found)
        await self._nudge(accounts)
        return rule

    async def save_account_rule(
        self,
        draft: Draft,
        *,
        user_id: UserId,
        exchange_account_id: ExchangeAccountId,
        last_price: Price | None,
    ) -> GuardRule:
        """Save the rule of an account; raises as `save_user_rule` does, and NotFound for another's account."""
        _check_for_many(draft.rule)
        named = _named_for_many(draft.rule)
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            holdings = await self._holdings(connection, exchange_account_id, now=now)
            found = _check_trades(holdings, replace(holdings.book, account=named), last_price)
            scope = AccountScope(exchange_account_id)
            rule = await self._store(connection, scope, draft, named, found, user_id=user_id)
            await self._tell(connection, user_id, rule, scope="account", account=holdings.account, accepted=found)
        await self._nudge([exchange_account_id])
        return rule

    async def save_cross_rule(
        self,
        draft: Draft,
        *,
        user_id: UserId,
        exchange_account_id: ExchangeAccountId,
        last_price: Price | None,
    ) -> GuardRule:
        """Save the rule of an account's cross position.

        Raises:
            NotFound: the person has no such account.
            InvalidRule: it names entry margins: a cross position has none.
            FiresNow: it would act at once on the position.
            RuleConflicts: it has contradictions that were not accepted.
            StaleVersion: it was changed since the person looked at it.
        """
        _check_for_cross(draft.rule)
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            holdings = await self._holdings(connection, exchange_account_id, now=now)
            stored = await find_cross(connection, exchange_account_id)
            cross = None
            if holdings.account.is_guarded and stored is not None:
                cross = _cross_under(draft.rule, holdings, stored)
            found: list[tuple[Trade, Conflict]] = []
            if cross is not None:
                _check_fires(cross.trade, cross.rule, last_price, full=cross.full_room)
                found = [(cross.trade, each) for each in cross.conflicts(None)]
            scope = CrossScope(exchange_account_id)
            rule = await self._store(connection, scope, draft, draft.rule, found, user_id=user_id)
            await self._tell(connection, user_id, rule, scope="cross", account=holdings.account, accepted=found)
        await self._nudge([exchange_account_id])
        return rule

    async def save_trade_rule(
        self,
        draft: Draft,
        *,
        user_id: UserId,
        exchange_account_id: ExchangeAccountId,
        trade_id: TradeId,
        last_price: Price | None,
    ) -> GuardRule:
        """Save a trade's own rule.

        Raises:
            NotFound: the person has no such trade.
            NotPermitted: nothing guards the account.
            TradeNotRunning: the trade does not run.
            InvalidRule: the rule contradicts itself, or a top-up would come too late on this trade.
            FiresNow: it would act at once; the context has the mark and the price.
            RuleConflicts: it has contradictions that were not accepted.
            StaleVersion: it was changed since the person looked at it.
        """
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            holdings = await self._holdings(connection, exchange_account_id, now=now)
            position = await self._running(connection, holdings, trade_id)
            if not holdings.account.is_guarded:
                raise NotPermitted("this account is not guarded: nothing acts on its trades")
            _check_for_trade(draft.rule, position.trade)
            named = _named_for_trade(draft.rule, position.trade, wide=holdings.book.inherited(position.trade))
            held = rule_for(position.trade, own=named, account=holdings.book.account, user=holdings.book.user)
            assert held is not None
            _check_fires(position.trade, held, last_price)
            found = [(position.trade, each) for each in _conflicts(holdings, position, held, None)]
            scope = TradeScope(exchange_account_id, trade_id)
            rule = await self._store(connection, scope, draft, named, found, user_id=user_id)
            await self._tell(
                connection,
                user_id,
                rule,
                scope="trade",
                account=holdings.account,
                trade=position.trade,
                accepted=found,
            )
        await self._nudge([exchange_account_id])
        return rule

    async def take_away(self, scope: RuleScope, *, user_id: UserId) -> None:
        """Take the rule of a scope away: the next wider one holds from now on.

        Raises:
            NotFound: there is no rule at this scope.
        """
        async with self._database.transaction(user_id=user_id) as connection:
            account = trade = None
            if not isinstance(scope, UserScope):
                account = (await self._account(connection, scope.exchange_account_id)).account
            if isinstance(scope, TradeScope):
                trade, _ = await self._trade(connection, scope.exchange_account_id, scope.trade_id)
            if not await repository.take_away_rule(connection, scope):
                raise NotFound("rule", "at this scope")
            accounts = [each.exchange_account_id for each in await trading.list_accounts(connection)]
            await self._tell(connection, user_id, None, scope=_scope_word(scope), account=account, trade=trade)
        await self._nudge(accounts if account is None else [account.exchange_account_id])

    async def choose_new_trades(
        self, preset: Preset, version: int, *, user_id: UserId, exchange_account_id: ExchangeAccountId
    ) -> NewTrades:
        """Choose what a trade of an account gets that is seen for the first time.

        Raises:
            NotFound: the person has no such account.
            InvalidRule: `custom` leaves it to a rule of the account or the person, and there is none.
            StaleVersion: it was chosen anew since the person looked.
        """
        async with self._database.transaction(user_id=user_id) as connection:
            seen = await self._account(connection, exchange_account_id)
            if preset is Preset.CUSTOM and seen.book.wide_rule() is None:
                raise InvalidRule(
                    "there is no rule of the account or of yours that new trades could get", field="preset"
                )
            chosen = await repository.choose_new_trades(
                connection,
                exchange_account_id,
                preset,
                expected_version=version,
                chosen_by=user_id,
                at=self._clock.now(),
            )
        log.info("new_trades_chosen", account=exchange_account_id, preset=preset.value)
        await self._nudge([exchange_account_id])
        return chosen

    async def set_guarded(
        self, is_guarded: bool, *, user_id: UserId, exchange_account_id: ExchangeAccountId, trade_id: TradeId
    ) -> None:
        """Leave a trade to the guard or take it out of its hands; remembered until it is said otherwise.

        Raises:
            NotFound: the person has no such trade.
        """
        async with self._database.transaction(user_id=user_id) as connection:
            account = (await self._account(connection, exchange_account_id)).account
            trade, book = await self._trade(connection, exchange_account_id, trade_id)
            if book.is_guarded(trade_id) is is_guarded:
                return
            await repository.set_trade_guarded(
                connection, exchange_account_id, trade_id, is_guarded=is_guarded, at=self._clock.now()
            )
            now_held = replace(book, unguarded=book.unguarded - {trade_id}).rule_of(trade) if is_guarded else None
            await self._tell(
                connection,
                user_id,
                now_held,
                scope="trade",
                account=account,
                trade=trade,
                is_guarded=is_guarded,
            )
        log.info("trade_guarded" if is_guarded else "trade_not_guarded", trade_id=trade_id)
        await self._nudge([exchange_account_id])

    # Parts

    async def _account(self, connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> "_Seen":
        account = await trading.find_account(connection, exchange_account_id)
        if account is None:
            raise NotFound("account", exchange_account_id)
        return _Seen(account=account, book=await repository.read_rule_book(connection, exchange_account_id))

    async def _trade(
        self, connection: AsyncConnection, exchange_account_id: ExchangeAccountId, trade_id: TradeId
    ) -> tuple[Trade, RuleBook]:
        position = await find_position(connection, exchange_account_id, trade_id)
        if position is None:
            raise NotFound("trade", trade_id)
        return position.trade, await repository.read_rule_book(connection, exchange_account_id)

    async def _holdings(
        self, connection: AsyncConnection, exchange_account_id: ExchangeAccountId, *, now: datetime
    ) -> _Holdings:
        seen = await self._account(connection, exchange_account_id)
        return _Holdings(
            account=seen.account,
            book=seen.book,
            positions=tuple(await list_positions(connection, exchange_account_id, statuses=(TradeStatus.RUNNING,))),
            spent=await trading.read_spent(connection, exchange_account_id, now=now),
        )

    async def _running(self, connection: AsyncConnection, holdings: _Holdings, trade_id: TradeId) -> StoredPosition:
        for position in holdings.positions:
            if position.trade.trade_id == trade_id:
                return position
        known = await find_position(connection, holdings.account.exchange_account_id, trade_id)
        if known is None:
            raise NotFound("trade", trade_id)
        raise TradeNotRunning(f"trade {trade_id} is {known.trade.status}", trade_id=trade_id)

    async def _store(
        self,
        connection: AsyncConnection,
        scope: RuleScope,
        draft: Draft,
        rule: GuardRule,
        found: Sequence[tuple[Trade, Conflict]],
        *,
        user_id: UserId,
    ) -> GuardRule:
        # Whoever looked at an older version is told so first: what contradicts may be gone in the newer one.
        accepted = sorted({conflict.kind.value for _, conflict in found})
        stored = await repository.store_rule(
            connection,
            scope,
            rule,
            expected_version=draft.version,
            created_by=user_id,
            accepted_conflicts=accepted,
        )
        if found and not draft.accepts_conflicts:
            raise RuleConflicts(  # the transaction ends here, and with it what was stored
                "this rule contradicts itself or your own orders: look at the prices, or save it nevertheless",
                conflicts=[conflict_view(conflict, trade_id=trade.trade_id) for trade, conflict in found],
            )
        log.info(
            "rule_saved",
            scope=_scope_word(scope),
            rule_id=stored.rule_id,
            version=stored.version,
            preset=stored.preset.value,
            accepted_conflicts=accepted,
        )
        return stored

    async def _tell(
        self,
        connection: AsyncConnection,
        user_id: UserId,
        rule: GuardRule | None,
        *,
        scope: str,
        account: ExchangeAccount | None = None,
        trade: Trade | None = None,
        is_guarded: bool = True,
        accepted: Iterable[tuple[Trade, Conflict]] = (),
    ) -> None:
        data: dict[str, Any] = {
            "label": trade.client_id if trade is not None else None if account is None else account.name,
            "scope": scope,
            "preset": None if rule is None else rule.preset.value,
            "version": NO_RULE_VERSION if rule is None else rule.version,
            "position_limit_sats": None if rule is None else rule.limits.position_sats,
            "is_guarded": is_guarded,
            "accepted_conflicts": sorted({conflict.kind.value for _, conflict in accepted}),
        }
        await record(
            connection,
            Activity(
                user_id=user_id,
                at=self._clock.now(),
                kind=ActivityKind.RULE_CHANGED,
                severity=Severity.INFO if is_guarded else Severity.CAUTION,
                data=data,
                exchange_account_id=None if account is None else account.exchange_account_id,
                trade_id=None if trade is None else trade.trade_id,
            ),
        )

    async def _nudge(self, accounts: Iterable[ExchangeAccountId]) -> None:
        for account_id in accounts:
            await nudge(self._valkey, keys.changed(account_id), {"what": "rules"})
        await outbox.nudge_relays(self._valkey)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    account: ExchangeAccount
    book: RuleBook


def user_stop_price(position: StoredPosition) -> Price | None:
    """Return the stop that the owner set at the exchange; None where there is none, or it is ours."""
    stop = position.trade.stop_loss_price
    return None if stop == position.own_stop_price else stop


def _conflicts(
    holdings: _Holdings, position: StoredPosition, rule: GuardRule, last_price: Price | None
) -> list[Conflict]:
    """Return the contradictions of a rule on a trade; without a price nothing can have been passed."""
    trade = position.trade
    found = find_conflicts(
        trade,
        rule,
        holdings.spending(trade.trade_id),
        price=trade.price if last_price is None else last_price,
        fee_rate=fee_rate_of(holdings.account.fee_tier),
        others=holdings.others(trade.trade_id),
        user_stop_price=user_stop_price(position),
    )
    return _said(found, last_price)


def _said(found: Iterable[Conflict], last_price: Price | None) -> list[Conflict]:
    return [each for each in found if last_price is not None or each.kind is not ConflictKind.FIRES_AT_ONCE]


def _check_trades(holdings: _Holdings, book: RuleBook, last_price: Price | None) -> list[tuple[Trade, Conflict]]:
    """Return the contradictions on every running trade for which the changed rules say something else.

    Raises:
        FiresNow: they would act at once on one of them.
    """
    found = []
    for position in holdings.positions if holdings.account.is_guarded else ():
        trade = position.trade
        before, rule = holdings.book.rule_of(trade), book.rule_of(trade)
        if rule is None or (before is not None and replace(before, rule_id=rule.rule_id, version=rule.version) == rule):
            continue
        _check_fires(trade, rule, last_price)
        found += [(trade, each) for each in _conflicts(holdings, position, rule, None)]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _CrossUnder:
    """The cross position of an account under a rule that is looked at."""

    trade: Trade
    rule: GuardRule
    full_room: Fraction
    spending: Spending
    fee_rate: Fraction

    def conflicts(self, last_price: Price | None) -> list[Conflict]:
        """Return the contradictions; without a price nothing can have been passed."""
        found = find_conflicts(
            self.trade,
            self.rule,
            self.spending,
            price=self.trade.price if last_price is None else last_price,
            fee_rate=self.fee_rate,
            cross_room=self.full_room,
        )
        return _said(found, last_price)


def _cross_under(rule: GuardRule, holdings: _Holdings, stored: StoredCross) -> _CrossUnder | None:
    """Return the position as last read under a rule of its own; None while it is flat."""
    trade = trade_of_position(stored.position)
    if trade is None:
        return None
    full = room_of_position(trade, stored.full_room)
    running_margin_sats = stored.position.running_margin_sats
    held = replace(holdings.book, cross=rule).rule_of_cross(
        trade, running_margin_sats=running_margin_sats, full_room=full
    )
    return _CrossUnder(
        trade=trade,
        rule=as_cross_rule(held),
        full_room=full,
        spending=holdings.spending(trade.trade_id),
        fee_rate=fee_rate_of(holdings.account.fee_tier),
    )


def _check_for_cross(rule: GuardRule) -> None:
    if rule.limits.position_margins is not None:
        raise InvalidRule("a cross position has no entry margin: say sats", field="limits.position_margins")


def _check_fires(trade: Trade, rule: GuardRule, last_price: Price | None, *, full: Fraction | None = None) -> None:
    """Raise FiresNow where a mark of the rule has been passed; the context names the field, the mark and the price."""
    full = full_room(trade) if full is None else full
    mark = None if last_price is None else fires_now(trade, rule, last_price, full=full)
    if mark is None or last_price is None:
        return
    step = next((rung.key for rung in rule.rungs if step_price(trade, rung, full=full) == mark), None)
    raise FiresNow(
        f"at {usd_number(last_price)} the price has passed {usd_number(mark)} already: this rule would act at once",
        field="give_up_price" if step is None else f"steps.{step}.trigger",
        mark_price=usd_number(mark),
        last_price=usd_number(last_price),
        trade_id=trade.trade_id,
    )


def _check_for_trade(rule: GuardRule, trade: Trade) -> None:
    if rule.limits.position_margins is not None:
        raise InvalidRule("for one trade the limit is said in sats", field="limits.position_margins")
    full = full_room(trade)
    for rung in rule.rungs:
        if rung.is_top_up and rung.room_share is not None and rung.room_share * full < NEAREST_MARK_DISTANCE:
            raise InvalidRule(
                "a top-up this near to liquidation would come too late: at least 0.9 % of the price",
                field=f"steps.{rung.key}.trigger",
            )


def _check_for_many(rule: GuardRule) -> None:
    """Raise InvalidRule where a rule for many trades names a price: what is below one is above the other."""
    words = "a price belongs to one trade: say a share of room or a distance here"
    if rule.give_up_price is not None:
        raise InvalidRule(words, field="give_up_price")
    for rung in rule.rungs:
        if isinstance(rung.trigger, AtPrice):
            raise InvalidRule(words, field=f"steps.{rung.key}.trigger.price")


def _offered(preset: Preset, trade: Trade, wide: GuardRule | None) -> OfferedPreset:
    if not is_offered(preset, trade):
        return OfferedPreset(preset=preset, rule=None, reason=TOO_MUCH_LEVERAGE)
    # Whoever picks one for a trade sees its figures, and may spend more on this trade than on others.
    rule = preset_for(preset, trade, rule_id=RuleId(""), version=NO_RULE_VERSION, wide=wide, is_capped=False)
    return OfferedPreset(preset=preset, rule=rule)


def _named_for_trade(rule: GuardRule, trade: Trade, *, wide: GuardRule | None) -> GuardRule:
    """Return the rule under the name of the preset that has its numbers on this trade, else as `custom`."""
    named = (_offered(preset, trade, wide).rule for preset in PRESETS)
    return _named(rule, [each for each in named if each is not None])


def _named_for_many(rule: GuardRule) -> GuardRule:
    """Return the rule under the name of the preset that has its numbers on any trade, else as `custom`."""
    candidates = []
    for preset in PRESETS:
        for leverage in (Fraction(10), Fraction(HOLD_MAX_LEVERAGE)):  # the mark lies deeper below 25x
            each = preset_rule(preset, rule_id=RuleId(""), leverage=leverage, entry_margin_sats=1)
            margins = Fraction(each.limits.position_sats) if each.tops_up else None
            candidates.append(each)
            if margins is not None:
                in_margins = replace(each.limits, position_sats=0, position_margins=margins)
                candidates.append(replace(each, limits=in_margins))
    return _named(rule, candidates)


def _named(rule: GuardRule, candidates: Iterable[GuardRule]) -> GuardRule:
    for each in candidates:
        limits = replace(
            each.limits,
            account_sats=rule.limits.account_sats,
            account_day_sats=rule.limits.account_day_sats,
            reserve_sats=rule.limits.reserve_sats,
        )
        if (each.rungs, limits, each.stop_share) == (rule.rungs, rule.limits, rule.stop_share):
            return replace(rule, preset=each.preset)
    return replace(rule, preset=Preset.CUSTOM)


def _scope_word(scope: RuleScope) -> str:
    match scope:
        case UserScope():
            return "user"
        case AccountScope():
            return "account"
        case TradeScope():
            return "trade"
        case CrossScope():
            return "cross"

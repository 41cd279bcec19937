"""Editing the rule of a trade: shown first, saved under its version, refused where it would fire at once."""

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import DomainError, InvalidRule, NotFound, NotPermitted, TradeNotRunning
from axisor.domain.margin import leverage
from axisor.domain.trades import Trade, TradeStatus
from axisor.domain.units import ExchangeAccountId, Price, RuleId, TradeId, UserId, usd_number
from axisor.features.execution.positions import StoredPosition, find_position
from axisor.features.margin_guard.plan import Plan, fires_now, plan
from axisor.features.margin_guard.policy import Spending, full_room
from axisor.features.margin_guard.repository import StaleVersion, TradeScope, read_rule_book, store_rule
from axisor.features.margin_guard.rule import (
    HOLD_MAX_LEVERAGE,
    NEAREST_MARK_DISTANCE,
    Close,
    GuardRule,
    Limits,
    Notify,
    Preset,
    Rung,
    TopUp,
    preset_rule,
    share_from_number,
)
from axisor.features.margin_guard.rulebook import NO_RULE_VERSION
from axisor.features.notifications.events import Activity, ActivityKind, Severity
from axisor.features.notifications.service import record
from axisor.features.trading import repository as trading
from axisor.features.trading.repository import ExchangeAccount
from axisor.features.trading.service import fee_rate_of
from axisor.features.trading.views import added_sats
from axisor.infra import keys, outbox
from axisor.infra.db.session import Database
from axisor.infra.ids import new_id
from axisor.infra.valkey import Valkey, nudge
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)


class FiresNow(DomainError):
    """The price has passed a mark of the rule already: saving it would act at once."""

    code = "fires_now"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChange:
    """What an owner sets of a rule; `version` is that of the rule they looked at (0: none)."""

    top_up_share: Decimal | None
    refill_share: Decimal | None
    position_limit_sats: int
    max_count: int | None
    stop_share: Decimal | None
    warn_share: Decimal | None
    version: int
    takes_back: bool | None = None
    """None: as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePreview:
    """A rule that was not saved, the trade it is for, and what it would do."""

    trade: Trade
    rule: GuardRule
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    """A running trade of a guarded account, and the rules that hold for it."""

    account: ExchangeAccount
    position: StoredPosition
    own: GuardRule | None
    default: GuardRule | None

    @property
    def effective(self) -> GuardRule | None:
        return self.own if self.own is not None else self.default


def edited_rule(change: RuleChange, *, trade: Trade, own: GuardRule | None, default: GuardRule | None) -> GuardRule:
    """Return the rule that a change makes of the one that holds for a trade.

    Limits of the account and a closing step stay as they are. A rule with the numbers of a preset bears its name.

    Raises:
        InvalidRule: its parts contradict each other, or a top-up mark would lie nearer than 0.9 % to liquidation.
    """
    base = own if own is not None else default
    rungs: list[Rung] = []
    if change.warn_share is not None:
        rungs.append(Rung(key="warn", room_share=share_from_number(change.warn_share), action=Notify()))
    if change.top_up_share is not None:
        share = share_from_number(change.top_up_share)
        refill = Fraction(1) if change.refill_share is None else share_from_number(change.refill_share)
        if share * full_room(trade) < NEAREST_MARK_DISTANCE:
            raise InvalidRule(
                "a top-up this near to liquidation would come too late: at least 0.9 % of the price",
                field="top_up_share",
            )
        rungs.append(Rung(key="top_up", room_share=share, action=TopUp(refill)))
    cut = None if base is None else base.rung(Close)
    if cut is not None:
        rungs.append(cut)
    rule = GuardRule(
        rule_id=RuleId(new_id()) if own is None else own.rule_id,
        version=1 if own is None else own.version + 1,
        preset=Preset.CUSTOM,
        rungs=tuple(sorted(rungs, key=lambda rung: -(rung.room_share or 0))),
        limits=Limits(
            position_sats=change.position_limit_sats,
            account_day_sats=None if base is None else base.limits.account_day_sats,
            max_count=change.max_count,
            reserve_sats=0 if base is None else base.limits.reserve_sats,
        ),
        stop_share=None if change.stop_share is None else share_from_number(change.stop_share),
        allow_second_send=True if base is None else base.allow_second_send,
        takes_back=_takes_back(change, base),
    )
    return _named(rule, trade)


def _named(rule: GuardRule, trade: Trade) -> GuardRule:
    """Return the rule under the name of the preset that has its numbers."""
    entry_price = trade.price if trade.entry_price is None else trade.entry_price
    margin_sats = trade.margin_sats if trade.entry_margin_sats is None else trade.entry_margin_sats
    entry_leverage = leverage(quantity_usd=trade.quantity_usd, price=entry_price, margin_sats=margin_sats)
    for preset in (Preset.WATCH, Preset.HOLD, Preset.HOLD_LONGER, Preset.CUT):
        if preset in {Preset.HOLD, Preset.HOLD_LONGER} and entry_leverage > HOLD_MAX_LEVERAGE:
            continue
        named = preset_rule(
            preset,
            rule_id=rule.rule_id,
            version=rule.version,
            leverage=entry_leverage,
            entry_margin_sats=margin_sats,
            account_day_sats=rule.limits.account_day_sats,
            reserve_sats=rule.limits.reserve_sats,
        )
        if (named.rungs, named.limits, named.stop_share) == (rule.rungs, rule.limits, rule.stop_share):
            return replace(named, takes_back=rule.takes_back)
    return rule


def _takes_back(change: RuleChange, base: GuardRule | None) -> bool:
    if change.takes_back is not None:
        return change.takes_back
    return base is not None and base.takes_back


class RulesService:
    """Previews and saves the rules of a person's trades."""

    def __init__(self, *, database: Database, valkey: Valkey, clock: Clock) -> None:
        self._database = database
        self._valkey = valkey
        self._clock = clock

    async def get(self, *, user_id: UserId, exchange_account_id: ExchangeAccountId, trade_id: TradeId) -> GuardRule:
        """Return the rule that holds for a trade: its own, or the account's default.

        Raises:
            NotFound: there is no such trade, or no rule for it.
        """
        async with self._database.transaction(user_id=user_id) as connection:
            context = await _context(connection, exchange_account_id, trade_id)
        if context.effective is None:
            raise NotFound("rule", f"of trade {trade_id}")
        return context.effective

    async def preview(
        self, change: RuleChange, *, user_id: UserId, exchange_account_id: ExchangeAccountId, trade_id: TradeId
    ) -> RulePreview:
        """Return what a changed rule would do to a running trade; nothing is saved.

        Raises:
            NotFound: the person has no such trade.
            TradeNotRunning: it does not run.
            InvalidRule: the rule contradicts itself.
        """
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            context = await _running(connection, exchange_account_id, trade_id)
            spent = await trading.read_spent(connection, exchange_account_id, now=now)
        trade = context.position.trade
        spent_sats, count = spent.by_trade.get(trade_id, (0, 0))
        rule = edited_rule(change, trade=trade, own=context.own, default=context.default)
        planned = plan(
            trade,
            rule,
            # The preview shows what the rule would do while it may spend.
            Spending(
                position_spent_sats=spent_sats,
                position_count=count,
                account_day_spent_sats=spent.day_sats,
                balance_sats=context.account.balance_sats,
                is_stopped=False,
                account_spent_sats=spent.running_sats,
            ),
            fee_rate=fee_rate_of(context.account.fee_tier),
            added_sats=added_sats(context.position),
        )
        return RulePreview(trade=trade, rule=rule, plan=planned)

    async def save(
        self,
        change: RuleChange,
        *,
        user_id: UserId,
        exchange_account_id: ExchangeAccountId,
        trade_id: TradeId,
        last_price: Price | None,
    ) -> GuardRule:
        """Save a changed rule as the next version of a trade's own.

        Raises:
            NotFound: the person has no such trade.
            TradeNotRunning: it does not run.
            InvalidRule: the rule contradicts itself.
            FiresNow: a mark of the rule has been passed already; the context names the mark and the price.
            StaleVersion: the rule was changed since the person looked at it.
        """
        async with self._database.transaction(user_id=user_id) as connection:
            context = await _running(connection, exchange_account_id, trade_id)
            if not context.account.is_guarded:
                raise NotPermitted("this account is not guarded: nothing acts on its trades")
            seen = context.effective
            if change.version != (NO_RULE_VERSION if seen is None else seen.version):
                raise StaleVersion
            trade = context.position.trade
            rule = edited_rule(change, trade=trade, own=context.own, default=context.default)
            mark = None if last_price is None else fires_now(trade, rule, last_price)
            if mark is not None and last_price is not None:
                raise FiresNow(
                    f"at {usd_number(last_price)} the price has passed {usd_number(mark)} already: "
                    "this rule would act at once",
                    field="top_up_share",
                    mark_price=usd_number(mark),
                    last_price=usd_number(last_price),
                )
            rule = await store_rule(
                connection,
                TradeScope(exchange_account_id, trade_id),
                rule,
                expected_version=NO_RULE_VERSION if context.own is None else context.own.version,
                created_by=user_id,
            )
            await record(connection, self._changed(user_id, context, rule))
        log.info("rule_saved", trade_id=trade_id, rule_id=rule.rule_id, version=rule.version, preset=rule.preset.value)
        await nudge(self._valkey, keys.changed(exchange_account_id), {"what": "rules"})
        await outbox.nudge_relays(self._valkey)
        return rule

    def _changed(self, user_id: UserId, context: _Context, rule: GuardRule) -> Activity:
        trade = context.position.trade
        top_up = rule.rung(TopUp)
        return Activity(
            user_id=user_id,
            at=self._clock.now(),
            kind=ActivityKind.RULE_CHANGED,
            severity=Severity.INFO,
            data={
                "label": trade.client_id,
                "preset": rule.preset.value,
                "version": rule.version,
                "top_up_share": None if top_up is None or top_up.room_share is None else float(top_up.room_share),
                "position_limit_sats": rule.limits.position_sats,
            },
            exchange_account_id=context.account.exchange_account_id,
            trade_id=trade.trade_id,
        )


async def _context(connection: AsyncConnection, exchange_account_id: ExchangeAccountId, trade_id: TradeId) -> _Context:
    account = await trading.find_account(connection, exchange_account_id)
    position = await find_position(connection, exchange_account_id, trade_id)
    if account is None or position is None:
        raise NotFound("trade", trade_id)
    book = await read_rule_book(connection, exchange_account_id)
    return _Context(
        account=account,
        position=position,
        own=book.by_trade.get(trade_id),
        default=book.inherited(position.trade),
    )


async def _running(connection: AsyncConnection, exchange_account_id: ExchangeAccountId, trade_id: TradeId) -> _Context:
    context = await _context(connection, exchange_account_id, trade_id)
    if context.position.trade.status is not TradeStatus.RUNNING:
        raise TradeNotRunning(f"trade {trade_id} is {context.position.trade.status}", trade_id=trade_id)
    return context

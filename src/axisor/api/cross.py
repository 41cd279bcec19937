"""The cross position of an account as last read, with the rule that holds for it and what its coverage depends on."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from axisor.domain.trades import Trade
from axisor.domain.units import TradeId
from axisor.features.execution.attempts import AttemptState
from axisor.features.execution.cross_positions import StoredCross
from axisor.features.margin_guard.coverage import Position
from axisor.features.margin_guard.cross_policy import as_cross_rule, room_of_position, trade_of_position
from axisor.features.margin_guard.deeds import RungState, Spending
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.rulebook import RuleBook


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCross:
    """A cross position; `trade` is None while it is flat, `rule` where it is not guarded."""

    stored: StoredCross
    trade: Trade | None
    rule: GuardRule | None
    full_room: Fraction
    spending: Spending
    cover: Position | None


def prepare_cross(
    stored: StoredCross,
    rules: RuleBook,
    spending: Spending,
    *,
    is_guarded: bool,
    fee_rate: Fraction,
    rungs: Mapping[TradeId, Mapping[str, RungState]],
    open_states: Mapping[TradeId, frozenset[AttemptState]],
) -> PreparedCross:
    """Return the cross position with everything that does not follow from the price."""
    position = stored.position
    trade = trade_of_position(position)
    if trade is None:
        return PreparedCross(stored=stored, trade=None, rule=None, full_room=Fraction(0), spending=spending, cover=None)
    rule = None
    full_room = room_of_position(trade, stored.full_room)
    if is_guarded:
        rule = as_cross_rule(
            rules.rule_of_cross(trade, running_margin_sats=position.running_margin_sats, full_room=stored.full_room)
        )
    cover = Position(
        trade=trade,
        rule=rule,
        spending=spending,
        price=None,
        fee_rate=fee_rate,
        added_sats=0,
        own_stop_price=None,
        read_at=stored.requested_at,
        rungs=rungs.get(trade.trade_id, {}),
        is_outcome_unknown=bool(open_states.get(trade.trade_id)),
        cross_room=full_room,
    )
    return PreparedCross(stored=stored, trade=trade, rule=rule, full_room=full_room, spending=spending, cover=cover)

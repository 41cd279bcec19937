"""New trades before they exist: what may be asked for, and what it will need."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from axisor.domain.contract import check_leverage, check_price, check_quantity
from axisor.domain.fees import fee_reserve_sats
from axisor.domain.liquidation import collateral_sats_at_leverage, isolated_liquidation_price
from axisor.domain.margin import initial_margin_sats, quantity_usd_for_margin
from axisor.domain.tpsl import check_new_stop_loss, check_new_take_profit, check_trailing_distance
from axisor.domain.trades import OrderType, PositionSide
from axisor.domain.units import Price
from axisor.paper.errors import InvalidRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTrade:
    """A request to open a trade; exactly one of quantity and margin is given, a price only for a limit order."""

    side: PositionSide
    order_type: OrderType
    leverage: Fraction
    quantity_usd: int | None = None
    margin_sats: int | None = None
    price: Price | None = None
    stop_loss_price: Price | None = None
    trailing_distance: Decimal | None = None
    take_profit_price: Price | None = None
    client_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The figures of a trade at its entry."""

    quantity_usd: int
    margin_sats: int
    liquidation_price: Price
    reserve_sats: int

    @property
    def blocked_sats(self) -> int:
        """Return what placing the trade takes from the free balance."""
        return self.margin_sats + self.reserve_sats


def check_shape(order: NewTrade) -> None:
    """Return nothing where the members of an order agree with each other.

    Raises:
        InvalidRequest: quantity and margin, or price and type, contradict each other.
        DomainError: the leverage, the limit price or the trailing distance is out of range.
    """
    if (order.quantity_usd is None) == (order.margin_sats is None):
        raise InvalidRequest("quantity", "and margin: exactly one of them must be set")
    if order.margin_sats is not None and order.margin_sats <= 0:
        raise InvalidRequest("margin", "must be at least 1")
    if (order.order_type is OrderType.LIMIT) != (order.price is not None):
        raise InvalidRequest("price", "is required when type is limit, and must not be set when it is market")
    check_leverage(order.leverage)
    if order.price is not None:
        check_price(order.price)
    if order.trailing_distance is not None:
        check_trailing_distance(order.trailing_distance)


def quantity_usd_at(order: NewTrade, price: Price) -> int:
    """Return the quantity of an order at a price: as asked for, or what its margin and leverage buy."""
    if order.quantity_usd is not None:
        return order.quantity_usd
    assert order.margin_sats is not None
    return quantity_usd_for_margin(margin_sats=order.margin_sats, price=price, leverage=order.leverage)


def terms_at(order: NewTrade, price: Price) -> Terms:
    """Return the figures of an order that enters at `price`; a margin that was asked for is kept as asked.

    Raises:
        DomainError: the quantity, the stop-loss or the take-profit is out of range.
    """
    quantity_usd = quantity_usd_at(order, price)
    check_quantity(quantity_usd)
    margin_sats = order.margin_sats
    if margin_sats is None:
        margin_sats = initial_margin_sats(quantity_usd=quantity_usd, price=price, leverage=order.leverage)
    collateral_sats = collateral_sats_at_leverage(quantity_usd=quantity_usd, price=price, leverage=order.leverage)
    liquidation_price = isolated_liquidation_price(
        side=order.side, quantity_usd=quantity_usd, price=price, collateral_sats=collateral_sats
    )
    if order.stop_loss_price is not None:
        check_new_stop_loss(
            side=order.side,
            stop_price=order.stop_loss_price,
            liquidation_price=liquidation_price,
            entry_price=price,
        )
    if order.take_profit_price is not None:
        check_new_take_profit(side=order.side, take_profit_price=order.take_profit_price, entry_price=price)
    reserve = fee_reserve_sats(
        quantity_usd=quantity_usd, entry_price=price, initial_liquidation_price=liquidation_price
    )
    return Terms(
        quantity_usd=quantity_usd,
        margin_sats=margin_sats,
        liquidation_price=liquidation_price,
        reserve_sats=reserve.total_sats,
    )

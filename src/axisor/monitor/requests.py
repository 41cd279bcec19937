"""What people asked for, carried out once: the request's id is its cause."""

from axisor.domain.commands import AddMargin, CancelOrder, CloseTrade, Command, SetStopLoss, SetTakeProfit
from axisor.domain.errors import TradeNotRunning
from axisor.domain.trades import TradeStatus
from axisor.domain.units import Price
from axisor.features.execution.attempts import Cause, CauseKind, next_tag
from axisor.features.execution.repository import AttemptExists, SpendingStopped
from axisor.features.execution.requests import CommandRequest
from axisor.monitor.book import AccountBook, WatchedTrade, open_tags
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.decider import Decider
from axisor.monitor.dispatcher import Dispatcher
from axisor.monitor.scribe import Scribe
from axisor.ports.clock import Clock
from axisor.ports.exchange import ExchangeClient, Lane


class RequestDesk:
    """Takes the requests of one account."""

    def __init__(
        self,
        *,
        client: ExchangeClient,
        book: AccountBook,
        decider: Decider,
        dispatcher: Dispatcher,
        scribe: Scribe,
        chronicle: Chronicle,
        clock: Clock,
    ) -> None:
        self._client = client
        self._book = book
        self._decider = decider
        self._dispatcher = dispatcher
        self._scribe = scribe
        self._chronicle = chronicle
        self._clock = clock
        self._requests: dict[str, CommandRequest] = {}

    async def take(self, request: CommandRequest) -> None:
        """Carry out what a person asked for, once: the request's id is its cause."""
        watched = self._book.trades.get(request.trade_id)
        cause = Cause(kind=CauseKind.REQUEST, cause_id=request.request_id, key="1")
        if watched is None or watched.trade.status is not TradeStatus.RUNNING:
            self._chronicle.finish_request(request, "refused", "trade_not_running")
            return
        if request.expires_at <= self._clock.now():
            self._chronicle.finish_request(request, "expired", None)
            return
        if cause in watched.intents or request.request_id in self._requests:
            return
        self._requests[request.request_id] = request
        try:
            command, tag = self._requested_command(watched, request)
        except TradeNotRunning as error:
            self._chronicle.finish_request(request, "refused", error.message)
            return
        if not await self._client.limiter.acquire(Lane.USER, deadline_s=10.0):
            del self._requests[request.request_id]
            self._chronicle.finish_request(request, "expired", "rate_limit")
            return
        facts = self._decider.facts(watched)
        record = None
        if facts is not None:
            record = self._scribe.decision_record(
                watched, facts, command.name.value, "requested", dict(request.arguments)
            )
        try:
            await self._dispatcher.submit(watched, command, cause, record, tag=tag)
        except (AttemptExists, SpendingStopped) as error:
            self._chronicle.finish_request(request, "refused", error.code)

    def _requested_command(self, watched: WatchedTrade, request: CommandRequest) -> tuple[Command, int | None]:
        trade_id = watched.trade_id
        match request.command:
            case "close_trade":
                return CloseTrade(trade_id=trade_id), None
            case "cancel_order":
                return CancelOrder(trade_id=trade_id), None
            case "add_margin":
                wanted = int(request.arguments["amount_sats"])
                tag = next_tag(open_tags(watched.attempts.values()), last_tag=watched.last_tag)
                # A person's amount is taken to the sat: its own last digits are its tag.
                return AddMargin(trade_id=trade_id, amount_sats=wanted), wanted % 1000 or tag
            case "set_stop_loss":
                return SetStopLoss(trade_id=trade_id, stop_price=Price(int(request.arguments["price"]))), None
            case "set_take_profit":
                price = Price(int(request.arguments["price"]))
                return SetTakeProfit(trade_id=trade_id, take_profit_price=price), None
            case other:
                raise TradeNotRunning(f"unknown command {other}")

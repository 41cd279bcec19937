"""What people asked for, carried out once: the request's id is its cause."""

from typing import Final

import structlog

from axisor.domain.commands import AddMargin, CloseTrade, Command, CommandName, SetStopLoss, SetTakeProfit
from axisor.domain.errors import DomainError, TradeNotRunning
from axisor.domain.trades import TradeStatus
from axisor.domain.units import Price
from axisor.features.execution.attempts import Cause, CauseKind, next_tag
from axisor.features.execution.repository import AttemptExists, SpendingStopped
from axisor.features.execution.requests import CommandRequest, Wish
from axisor.features.margin_guard.take_back import KeepReason
from axisor.infra.tasks import TaskSet
from axisor.monitor.account_desk import ACCOUNT_COMMANDS, AccountDesk
from axisor.monitor.book import AccountBook, WatchedTrade, open_tags
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.decider import Decider
from axisor.monitor.dispatcher import Dispatcher
from axisor.monitor.drill_desk import DrillDesk
from axisor.monitor.invoice_desk import InvoiceDesk
from axisor.monitor.reader import AccountReader
from axisor.monitor.scribe import REQUESTED, Scribe, requested_record
from axisor.monitor.take_backs import TakeBackDesk
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock
from axisor.ports.exchange import ExchangeClient, Lane

log = structlog.get_logger(__name__)

TOKEN_DEADLINE_S: Final = 10.0


class RequestDesk:
    """Takes the requests of one account."""

    def __init__(
        self,
        *,
        account_desk: AccountDesk,
        take_backs: TakeBackDesk,
        drills: DrillDesk,
        invoices: InvoiceDesk,
        client: ExchangeClient,
        tasks: TaskSet,
        reader: AccountReader,
        wallet: Wallet,
        book: AccountBook,
        decider: Decider,
        dispatcher: Dispatcher,
        scribe: Scribe,
        chronicle: Chronicle,
        clock: Clock,
    ) -> None:
        self._account_desk = account_desk
        self._take_backs = take_backs
        self._drills = drills
        self._invoices = invoices
        self._client = client
        self._tasks = tasks
        self._reader = reader
        self._wallet = wallet
        self._book = book
        self._decider = decider
        self._dispatcher = dispatcher
        self._scribe = scribe
        self._chronicle = chronicle
        self._clock = clock
        self._under_way: set[str] = set()
        self._arrived: dict[str, float] = {}

    def take(self, request: CommandRequest) -> None:
        """Carry out a request in the background; one that is taken twice is carried out once."""
        if request.request_id not in self._under_way:
            self._under_way.add(request.request_id)
            self._tasks.start(self._carry_out(request), name=f"request {request.command}")

    async def _carry_out(self, request: CommandRequest) -> None:
        try:
            await self._try(request)
        except (AttemptExists, SpendingStopped, DomainError) as error:
            self._refuse(request, error.code)
        except (KeyError, TypeError, ValueError):
            log.exception("request_unreadable", request_id=request.request_id, command=request.command)
            self._refuse(request, "malformed")
        finally:
            self._under_way.discard(request.request_id)

    async def _try(self, request: CommandRequest) -> None:
        if request.command == Wish.FUND:
            await self._invoices.carry_out(request)
            return
        if request.command in ACCOUNT_COMMANDS:
            await self._account_desk.carry_out(request)
            return
        cause = Cause(kind=CauseKind.REQUEST, cause_id=request.request_id, key="1")
        watched = self._book.trades.get(request.trade_id)
        if watched is not None and cause in watched.intents:
            return  # it was sent, and its outcome will be told
        if request.expires_at <= self._clock.now():
            self._chronicle.finish_request(request, "expired", None)
            return
        if request.command == Wish.CHECK:
            self._finish_once_read(request)
            return
        if watched is None or watched.trade.status is not TradeStatus.RUNNING:
            self._refuse_unless_new(request)
            return
        if request.command == Wish.DRILL:
            if (reason := await self._drills.begin(watched, request, cause)) is not None:
                self._refuse(request, reason)
            return
        if request.command == CommandName.CASH_IN:
            await self._take_back(watched, request, cause)
            return
        command, tag = self._requested_command(watched, request)
        if isinstance(command, AddMargin) and self._wallet.blocks_money_in():
            return  # the sweep brings it again
        left_s = min(TOKEN_DEADLINE_S, (request.expires_at - self._clock.now()).total_seconds())
        if not await self._client.limiter.acquire(Lane.USER, deadline_s=left_s):
            return
        async with self._dispatcher.turn:
            if cause in watched.intents or watched.trade.status is not TradeStatus.RUNNING:
                return
            facts = self._decider.facts(watched)
            if facts is not None:
                arguments = dict(request.arguments)
                case = self._decider.decide(watched, facts)
                record = self._scribe.decision_record(watched, case, command.name.value, REQUESTED, arguments)
            else:
                seen = {"trade_requested_at": watched.requested_at.isoformat()}
                record = requested_record(request, at=self._clock.now(), action=command.name.value, seen=seen)
            await self._dispatcher.submit(watched, command, cause, record, tag=tag)

    async def _take_back(self, watched: WatchedTrade, request: CommandRequest, cause: Cause) -> None:
        """Take back what was asked for, at most what may be; where facts are wanting, the sweep brings it again."""
        asked = request.arguments.get("amount_sats")
        asked_sats = None if asked is None else int(asked)
        keep = await self._take_backs.carry_out(watched, cause, asked_sats=asked_sats, lane=Lane.USER)
        if keep is not None and keep.reason is not KeepReason.UNKNOWN_FACTS:  # the desk has written down why
            self._chronicle.finish_request(request, "refused", keep.reason.value)

    def _refuse_unless_new(self, request: CommandRequest) -> None:
        """Refuse a request for a trade that does not run, once a reading after its arrival has agreed."""
        if self._is_read_since(request):
            self._refuse(request, "trade_not_running")

    def _finish_once_read(self, request: CommandRequest) -> None:
        """Have the account read, and say so once a reading that began after the request's arrival is stored."""
        if self._is_read_since(request):
            watched = self._book.trades.get(request.trade_id)
            if watched is not None:
                self._chronicle.store(watched, "reading", force=True)
            self._chronicle.finish_request(request, "confirmed", None)

    def _is_read_since(self, request: CommandRequest) -> bool:
        now_s = self._clock.boottime_s()
        arrived_s = self._arrived.setdefault(request.request_id, now_s)
        read_s = self._reader.read_boottime_s
        if read_s is None or read_s <= arrived_s:
            self._reader.read_soon()
            return False
        del self._arrived[request.request_id]
        return True

    def _refuse(self, request: CommandRequest, reason: str) -> None:
        """Write down that nothing is sent for a request, and why."""
        self._chronicle.store_decision(requested_record(request, at=self._clock.now(), action="refuse", reason=reason))
        self._chronicle.finish_request(request, "refused", reason)

    def _requested_command(self, watched: WatchedTrade, request: CommandRequest) -> tuple[Command, int | None]:
        trade_id = watched.trade_id
        match request.command:
            case "close_trade":
                return CloseTrade(trade_id=trade_id), None
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

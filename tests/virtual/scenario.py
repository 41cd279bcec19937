"""One simulated night: a guarded account, a tape, the adversary's faults, and what the books say afterwards."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from typing import Final
from uuid import UUID

import pytest
import structlog
from tests.virtual.database import Row, VirtualDatabase
from tests.virtual.faults import FaultKind, Plan, Strike
from tests.virtual.guard import Installation, Mutation
from tests.virtual.judge import Judge, Verdict
from tests.virtual.venue import Venue
from tests.virtual.world import Process, World

from axisor.domain.trades import OrderType, PositionSide
from axisor.domain.units import Price, RuleId
from axisor.features.margin_guard.rule import GuardRule, Preset, preset_rule
from axisor.features.margin_guard.rule_body import dump_rule
from axisor.infra import ids
from axisor.paper.engine import engine, isolated
from axisor.paper.engine.orders import NewTrade
from axisor.paper.records import Account, PaperTrade

LOG_VARIABLE: Final = "AXISOR_NIGHT_LOG"
ENTRY: Final = Price(124_000)
REST_S: Final = 2.0
"""How long an account is guarded before the tape begins: its stops are placed by then."""
AT_REST_TICKS_S: Final = (0.05, 1.0)
SETTLED_FOR_S: Final = 6
DATABASE_AWAY_S: Final = 60.0
PAST_LEASE_S: Final = 6.0
PAST_QUIET_S: Final = 50.0
CLOCK_STEP_S: Final = 300.0

type Tape = Sequence[Price]
"""One price a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A trade that stands before the tape begins."""

    side: PositionSide = PositionSide.LONG
    leverage: int = 25
    quantity_usd: int = 6_200
    preset: Preset = Preset.HOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """Everything a run follows from."""

    seed: int
    tape: Tape
    strikes: tuple[Strike, ...] = ()
    storms: tuple[tuple[float, FaultKind], ...] = ()
    """Faults by the second of the tape at which they begin."""
    orders: tuple[Order, ...] = (Order(),)
    balance_sats: int = 5_000_000
    allow_second_send: bool = True
    mutation: Mutation = field(default_factory=Mutation)
    ends_when_settled: bool = False
    """Stop as soon as nothing is due, in doubt, on its way or asleep any more."""


@dataclass
class Run:
    """A night while it happens."""

    night: Night
    world: World
    venue: Venue
    database: VirtualDatabase
    installation: Installation
    plan: Plan
    account: Account
    trades: dict[str, tuple[PaperTrade, GuardRule]] = field(default_factory=dict)
    judge: Judge = field(default_factory=Judge)
    discrepancies: list[str] = field(default_factory=list)

    @property
    def attempts(self) -> list[Row]:
        """Return the top-ups that the database knows."""
        return [row for row in self.database.rows("attempt") if row.command_class == "money_in"]


def live(night: Night, prepare: Callable[[Run], None] = lambda _: None) -> Verdict:
    """Return the judgement of a night."""
    with _repeatable_ids(), _quiet():
        run = _begin(night)
        try:
            prepare(run)
            _play(run)
            return run.judge.verdict(run)
        finally:
            run.world.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log out of the way: a thousand nights of faults would fill it."""
    before = structlog.get_config()
    if LOG_VARIABLE not in os.environ:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


@contextmanager
def _repeatable_ids() -> Iterator[None]:
    """Count identifiers instead of drawing them, so that a run can be had again from its number."""
    number = count(1)
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((ids, "uuid7"), (isolated, "uuid4"), (engine, "uuid4")):
            patch.setattr(module, name, lambda: UUID(int=next(number)))
        yield


def _begin(night: Night) -> Run:
    world = World(night.seed)
    runs: list[Run] = []

    def act(kind: FaultKind, process: Process) -> None:
        strike(runs[0], kind, process)

    plan = Plan(list(night.strikes), act, lambda: world.now_s)
    venue = Venue(world, price=ENTRY, plan=plan)
    database = VirtualDatabase(world, plan)
    account = venue.account(balance_sats=night.balance_sats, name="trader")
    installation = Installation(
        world,
        plan,
        venue,
        database,
        {account.account_id: venue.credentials(account)},
        allow_second_send=night.allow_second_send,
        mutation=night.mutation,
    )
    run = Run(night, world, venue, database, installation, plan, account)
    runs.append(run)
    tables = database.tables
    tables.put(
        "exchange_account",
        account.account_id,
        Row(user_id="user", exchange_account_id=account.account_id, network="paper", is_guarded=True),
    )
    for number, order in enumerate(night.orders):
        trade = venue.engine.isolated.open_trade(
            account,
            NewTrade(
                side=order.side,
                order_type=OrderType.MARKET,
                quantity_usd=order.quantity_usd,
                leverage=Fraction(order.leverage),
                price=None,
            ),
        )
        rule = preset_rule(
            order.preset,
            rule_id=RuleId(f"rule {number}"),
            leverage=Fraction(order.leverage),
            entry_margin_sats=trade.entry_margin_sats,
        )
        run.trades[trade.trade_id] = (trade, rule)
        tables.put(
            "rule",
            (account.account_id, rule.rule_id),
            Row(
                rule_id=rule.rule_id,
                position_id=trade.trade_id,
                version=1,
                body=dump_rule(rule),
                is_users=False,
            ),
        )
    venue.engine.take_events()
    tables.keep()
    return run


def _play(run: Run) -> None:
    world, venue, night = run.world, run.venue, run.night
    begun_s = world.now_s
    run.installation.start_monitor()
    for after_s in AT_REST_TICKS_S:
        world.after(after_s, lambda: venue.tick(ENTRY))
        run.judge.hear(begun_s + after_s, ENTRY)
    world.run_until(begun_s + REST_S)
    run.plan.is_armed = True
    start_s, settled_s = world.now_s, 0
    for after_s, kind in night.storms:
        world.after(after_s, lambda kind=kind: run.plan.let_happen(kind, run.installation.processes[-1]))
    for second, price in enumerate(night.tape):
        world.run_until(start_s + second)
        run.judge.look(run, price)
        venue.tick(price)
        run.judge.take_tick(run, price)
        settled_s = settled_s + 1 if _is_settled(run) else 0
        if night.ends_when_settled and settled_s >= SETTLED_FOR_S:
            break
        if second % 20 == 0:
            run.discrepancies += venue.engine.discrepancies(is_deep=False)
    world.run_until(world.now_s + 1)
    run.judge.look(run, venue.engine.last_price)
    run.discrepancies += venue.engine.discrepancies(is_deep=True)


def _is_settled(run: Run) -> bool:
    return (
        run.plan.is_spent
        and run.judge.has_served
        and not run.venue.late_under_way
        and not any(process.is_frozen for process in run.installation.processes if not process.is_dead)
        and not run.database.is_away
        and not any(row.state in ("sent", "unknown") for row in run.attempts)
        and run.installation.disk.spooled == b""
    )


def strike(run: Run, kind: FaultKind, process: Process) -> None:
    """Do to the world what a fault does."""
    installation = run.installation
    match kind:
        case FaultKind.CRASH:
            installation.kill(process, is_seen=True)
        case FaultKind.CRASH_UNSEEN:
            installation.kill(process, is_seen=False)
        case FaultKind.FREEZE_PAST_LEASE | FaultKind.FREEZE_PAST_QUIET:
            process.freeze(PAST_LEASE_S if kind is FaultKind.FREEZE_PAST_LEASE else PAST_QUIET_S)
            if not any(other.is_running for other in installation.processes):
                installation.start_monitor()
        case FaultKind.CLOCK_FORWARD | FaultKind.CLOCK_BACK:
            step_s = CLOCK_STEP_S if kind is FaultKind.CLOCK_FORWARD else -CLOCK_STEP_S
            for each in installation.processes:
                each.clock.wall_ahead_s += step_s
        case FaultKind.DATABASE_AWAY:
            run.database.go_away(DATABASE_AWAY_S)
        case FaultKind.FUNDING:
            settlement = f"settlement {run.plan.injected[kind]}"
            run.venue.settle_funding(settlement)
        case FaultKind.ROUTINE_STORM:
            installation.storm(process)
        case FaultKind.TWO_HOSTS:
            installation.add_host()
        case _:
            raise NotImplementedError(kind)

"""Carrying out one scenario under fire: real processes, a tape that crashes, and what is done to them meanwhile.

The installation is the product's own: `axisor` processes, a real PostgreSQL and a real Valkey behind doors that can be
shut, and the paper exchange. A role that is killed is started again at once, as the supervisor does; a frozen one gets
a successor and wakes later.
"""

import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from tests.fire.gate import Gate, Gates
from tests.fire.mutants.frozen import ASKED, FROZEN
from tests.fire.oracle import Guarded, Judgement, Tick, is_everything_served, judge
from tests.fire.scenario import (
    ENTRY_USD,
    QUANTITY_USD,
    QUICK,
    QUIET_S,
    SERVERS,
    STEP_S,
    WINDOW_S,
    Blow,
    Deed,
    Scenario,
)
from tests.fixtures.engines import DatabaseUrls
from tests.fixtures.stack import Exchange, PaperAccount, Stack, running_stack, wait_until

from axisor.domain.trades import Trade
from axisor.domain.units import ExchangeAccountId, Price, RuleId, UserId
from axisor.features.margin_guard.rule import GuardRule, preset_rule
from axisor.infra.clock import SystemClock
from axisor.infra.engines import Engines
from axisor.infra.ids import new_id
from axisor.monitor.main import DEAD_FILE

AT_REST_S: Final = 120.0
LOOK_EVERY_S: Final = 0.3
MOST_LONGER_S: Final = 20.0
FUNDING_RATE: Final = "0.0001"


@dataclass(frozen=True, slots=True)
class Place:
    """What one scenario has to itself; `engines` only where it may kill them."""

    folder: Path
    urls: DatabaseUrls
    valkey_url: str
    engines: Engines | None = None


class Installation:
    """The processes of one scenario; it kills, freezes and cuts, and restarts what ended."""

    def __init__(self, stack: Stack, gates: Gates, scenario: Scenario, engines: Engines | None) -> None:
        self.stack = stack
        self.scenario = scenario
        self._gates = gates
        self._engines = engines
        self._valkey = gates.open(_port(stack.valkey_url))
        self._postgres = gates.open(_port(stack.urls.guard))
        self._private: Gate | None = None
        self._old: list[subprocess.Popen[bytes]] = []
        self._owed: list[tuple[float, Callable[[], None]]] = []
        self._frozen_for_s = 0.0
        self.injected: Counter[str] = Counter()

    @property
    def exchange(self) -> Exchange:
        assert self.stack.exchange is not None
        return self.stack.exchange

    def start(self, role: str) -> None:
        """Start a role behind the doors; a monitor behind one of its own to PostgreSQL."""
        door = self._postgres
        if role == "monitor":
            door = self._private = self._gates.open(self._postgres.port)
        stack = self.stack
        environment = replace(
            stack,
            urls=through(stack.urls, door),
            valkey_url=at_port(stack.valkey_url, self._valkey.port),
            extra=stack.extra | {"AXISOR_API_PORT": "0"} | self.scenario.environment,
        ).environment()
        module = self.scenario.module if role == "monitor" else "axisor"
        with (stack.folder / f"{role}.stderr").open("ab") as stderr:
            stack.processes[role] = subprocess.Popen(
                [sys.executable, "-P", "-m", module, role], env=environment, stdout=subprocess.DEVNULL, stderr=stderr
            )

    def strike(self, blow: Blow) -> None:
        """Do what a blow says; what must be undone later is owed."""
        self.injected[blow.name] += 1
        match blow.deed:
            case Deed.KILL if blow.whom in SERVERS:
                assert self._engines is not None
                pid = getattr(self._engines, blow.whom).pid
                os.kill(pid, signal.SIGKILL)
            case Deed.KILL:
                self._kill(blow.whom)
            case Deed.FREEZE | Deed.FREEZE_ALONE:
                self.stack.processes[blow.whom].send_signal(signal.SIGSTOP)
                if blow.deed is Deed.FREEZE_ALONE and self._private is not None:
                    self._private.shut()
                self._succeed(blow.whom, thaws_in_s=blow.for_s)
            case Deed.FREEZE_AT_WRITE:
                self._frozen_for_s = blow.for_s
                (self.stack.folder / ASKED).touch()
            case Deed.WAKE:
                for process in self._old:
                    process.send_signal(signal.SIGCONT)
            case Deed.CUT:
                gate = self._postgres if blow.whom == "postgres" else self._valkey
                gate.shut()
                self._owe(blow.for_s, gate.reopen)
            case Deed.ALONE:
                assert self._private is not None
                self._private.shut()
                self._owe(math.inf, self._private.reopen)
                self._succeed("monitor", thaws_in_s=None)
            case Deed.FUNDING:
                self.exchange.control("POST", "/market/funding", {"rate": FUNDING_RATE})
            case Deed.STRIKE:
                self.exchange.control("POST", "/faults", blow.fault)

    def _kill(self, role: str) -> None:
        pid = self.stack.processes[role].pid
        self.stack.kill(role)
        if role == "monitor":
            (self.stack.folder / "run" / DEAD_FILE).write_text(f"{pid}\n", encoding="ascii")
        if self.scenario.has_successor:
            self.start(role)

    def _succeed(self, role: str, *, thaws_in_s: float | None) -> None:
        """Start a role beside its present process, which wakes later."""
        process = self.stack.processes[role]
        self._old.append(process)
        self.start(role)
        if thaws_in_s is not None:
            self._owe(thaws_in_s, lambda: process.send_signal(signal.SIGCONT))

    def _owe(self, in_s: float, undo: Callable[[], None]) -> None:
        self._owed.append((time.monotonic() + in_s, undo))

    def tend(self, *, everything: bool = False) -> None:
        """Undo what is due to be undone; start again what ended by itself, as after a lost lease."""
        if (self.stack.folder / FROZEN).exists():
            (self.stack.folder / FROZEN).unlink()
            self._succeed("monitor", thaws_in_s=self._frozen_for_s)
        now_s = time.monotonic()
        due = [undo for at_s, undo in self._owed if everything or at_s <= now_s]
        self._owed = [] if everything else [entry for entry in self._owed if entry[0] > now_s]
        for undo in due:
            undo()
        for role, process in list(self.stack.processes.items()):
            if role != "exchange" and process.poll() is not None:
                self.start(role)
        for engine in () if self._engines is None else (self._engines.postgres, self._engines.valkey):
            if not engine.is_running():
                engine.end_leftovers()
                engine.spawn()

    def close(self) -> None:
        for process in self._old:
            if process.poll() is None:
                process.kill()
            process.wait()


@dataclass
class Field:
    """The traders, their trades and rules, and whose they are in Axisor."""

    person: UserId
    trades: list[tuple[PaperAccount, ExchangeAccountId, Trade, GuardRule]] = field(default_factory=list)

    def books(self) -> list[Guarded]:
        """Return what the exchange's books say now."""
        found = []
        books = {trader.account_id: trader.books() for trader, *_ in self.trades}
        for trader, _, trade, rule in self.trades:
            raw = books[trader.account_id]
            moved: dict[str, list[tuple[int, int]]] = {"add_margin": [], "funding": []}
            for posting in raw["postings"]:
                if posting["kind"] in moved and posting.get("trade_id") == trade.trade_id:
                    moved[posting["kind"]].append((posting["at_ms"], posting["entries"].get("margin", 0)))
            ending = str(raw["trades"][trade.trade_id])
            found.append(
                Guarded(trade=trade, rule=rule, top_ups=moved["add_margin"], funding=moved["funding"], ending=ending)
            )
        return found


@contextmanager
def under_fire(scenario: Scenario, place: Place) -> Iterator["Battle"]:
    """Yield a guarded installation at rest."""
    gates = Gates()
    try:
        with running_stack(place.folder, place.urls, place.valkey_url, **QUICK) as stack:
            installation = Installation(stack, gates, scenario, place.engines)
            try:
                grounds = _prepare(scenario, installation)
                began_s = time.monotonic()
                _start_guard(scenario, installation, grounds)
                late_s = max(0.0, time.monotonic() - began_s - scenario.starts_within_s)
                yield Battle(scenario, installation, grounds, longer_s=min(MOST_LONGER_S, 3 * late_s))
            finally:
                installation.close()
    finally:
        gates.close()


def _prepare(scenario: Scenario, installation: Installation) -> Field:
    stack = installation.stack
    exchange = stack.start_exchange(
        "--scenario", "manual", "--window", str(WINDOW_S), "--private-rate", "40", "--public-rate", "0"
    )
    exchange.set_price(ENTRY_USD)
    person = stack.add_person()
    grounds = Field(person)
    per_account = scenario.trades // scenario.accounts
    for number in range(scenario.accounts):
        trader = exchange.create_account(balance_sats=20_000_000, username=f"trader {number + 1}")
        account_id = stack.connect_account(person, trader)
        for place in range(number * per_account, (number + 1) * per_account):
            leverage = scenario.leverages[place % len(scenario.leverages)]
            trade = trader.open_trade(leverage=leverage, quantity_usd=QUANTITY_USD, name=f"{leverage}x {place}")
            rule = preset_rule(
                scenario.preset,
                rule_id=RuleId(new_id()),
                leverage=Fraction(leverage),
                entry_margin_sats=trade.margin_sats,
            )
            rule = rule if scenario.has_stop else replace(rule, stop_share=None)
            grounds.trades.append((trader, account_id, trade, rule))
            if scenario.is_guarded:
                stack.guard_trade(account_id, trade.trade_id, rule)
    return grounds


def _start_guard(scenario: Scenario, installation: Installation, grounds: Field) -> None:
    for role in ("monitor", *scenario.roles):
        installation.start(role)
    if scenario.is_guarded:
        wait_until(
            lambda: _is_at_rest(scenario, grounds, installation.stack), deadline_s=AT_REST_S, what="the guard at rest"
        )


def _is_at_rest(scenario: Scenario, grounds: Field, stack: Stack) -> bool:
    """Return whether every safety stop is placed; without stops, whether every trade has been read."""
    if not scenario.has_stop:
        return stack.rows("select count(*) from position")[0]["count"] == scenario.trades
    traders = {trader.account_id: trader for trader, *_ in grounds.trades}
    return all(live["stoploss"] > 0 for trader in traders.values() for live in trader.live().values())


@dataclass
class Battle:
    """A scenario while it happens."""

    scenario: Scenario
    installation: Installation
    field: Field
    longer_s: float
    tape: list[Tick] = field(default_factory=list)

    @property
    def person(self) -> UserId:
        return self.field.person

    def tick(self, usd: float) -> None:
        self.installation.exchange.set_price(usd)
        at_ms = int(SystemClock().now().timestamp() * 1000)
        self.tape.append(Tick(at_ms, Price(round(usd * 2))))

    def play(self, each_step: Callable[[float], None] = lambda _: None) -> None:
        """Let the price fall and the blows come down, each at its second."""
        blows = sorted(self.scenario.blows, key=lambda blow: blow.at_s)
        began_s = time.monotonic()
        for number, usd in enumerate(self.scenario.tape_usd(longer_s=self.longer_s)):
            step_s = number * STEP_S
            while time.monotonic() - began_s < step_s:
                time.sleep(0.005)
            while blows and blows[0].at_s <= step_s:
                self.installation.strike(blows.pop(0))
            self.installation.tend()
            each_step(step_s)
            self.tick(usd)

    def settle(self) -> None:
        """Wait until everything due is served or its trade is over, and what might still be sent would have been."""
        ends_s = time.monotonic() + self.scenario.settles_s
        while not is_everything_served(self.tape, self.field.books()) and time.monotonic() < ends_s:
            self._stand()
        for blow in self.scenario.blows:
            if blow.at_s == math.inf:
                self.installation.strike(blow)
        self.installation.tend(everything=True)
        quiet_s = time.monotonic() + QUIET_S + 0.5
        while time.monotonic() < quiet_s:
            self._stand()
        while self._misbooked_sats(self.field.books()) and time.monotonic() < ends_s:
            self._stand()

    def _misbooked_sats(self, books: list[Guarded]) -> int:
        """Return by how much what Axisor's books call applied differs from the exchange's, trade by trade."""
        applied = {
            str(row["position_id"]): int(row["sats"])
            for row in self.installation.stack.rows(
                "select position_id, sum(amount_sats)::bigint as sats from attempt "
                "where command_class = 'money_in' and state in ('confirmed', 'late_confirmed') group by position_id"
            )
        }
        return sum(
            abs(applied.get(guarded.trade.trade_id, 0) - sum(sats for _, sats in guarded.top_ups)) for guarded in books
        )

    def _stand(self) -> None:
        """Let the price stand still for a moment."""
        self.installation.tend()
        self.tick(self.tape[-1].price / 2)
        time.sleep(LOOK_EVERY_S)

    def judgement(self) -> Judgement:
        books = self.field.books()
        found = judge(self.tape, books, allows_second_send=self.scenario.allows_second_send)
        found.injected = self.installation.injected
        found.misbooked_sats = self._misbooked_sats(books)
        found.discrepancies = self.installation.exchange.discrepancies()
        return found


def fight(scenario: Scenario, place: Place) -> Judgement:
    """Return what the exchange's books say after a scenario."""
    with under_fire(scenario, place) as battle:
        battle.play()
        battle.settle()
        return battle.judgement()


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def at_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{port}"))


def through(urls: DatabaseUrls, gate: Gate) -> DatabaseUrls:
    moved = {name: at_port(getattr(urls, name), gate.port) for name in ("owner", "app", "guard", "worker")}
    return DatabaseUrls(name=urls.name, superuser=urls.superuser, **moved)

"""One scenario under fire: real processes, a tape that crashes, and what is done to them meanwhile.

The installation is the product's own: `axisor` processes, a real PostgreSQL and a real Valkey behind doors that can be
shut, and the paper exchange. A role that is killed is started again at once, as the supervisor does; a frozen one gets
a successor and wakes later.
"""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from tests.fire.gate import Gate, Gates
from tests.fire.oracle import Guarded, Judgement, Tick, is_everything_served, judge
from tests.fixtures.engines import DatabaseUrls
from tests.fixtures.stack import PaperAccount, Stack, running_stack, wait_until

from axisor.domain.trades import Trade
from axisor.domain.units import ExchangeAccountId, Price, RuleId, UserId
from axisor.features.margin_guard.rule import GuardRule, Preset, preset_rule
from axisor.infra.clock import SystemClock
from axisor.infra.ids import new_id
from axisor.monitor.main import DEAD_FILE

ENTRY_USD: Final = 61_999.5
LEASE_S: Final = 2.0
WINDOW_S: Final = 2.0
BOUND_S: Final = 1.0
QUIET_S: Final = WINDOW_S + BOUND_S
QUICK: Final = {
    "AXISOR_SIGNATURE_WINDOW_S": str(WINDOW_S),
    "AXISOR_APPLY_BOUND_S": str(BOUND_S),
    "AXISOR_SEND_DEADLINE_S": "1",
    "AXISOR_READ_NEAR_S": "0.5",
    "AXISOR_LEASE_TTL_S": str(LEASE_S),
    "AXISOR_PRIVATE_RATE_PER_S": "10",
    "AXISOR_PRIVATE_BURST": "10",
    "AXISOR_SECOND_SEND": "false",
}
STEP_S: Final = 0.1
AT_REST_S: Final = 60.0
QUANTITY_USD: Final = 6_200


class Deed(StrEnum):
    """What is done to an installation; each names the role or the server that it befalls."""

    KILL = "killed"
    FREEZE = "frozen"
    CUT = "cut off"
    """The server is away: every connection of the installation to it breaks, and none is made."""
    ALONE = "alone cut off"
    """The present monitor alone loses PostgreSQL; its successor has it."""
    STRIKE = "struck"
    """The exchange gets a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """One deed at a second of the tape."""

    at_s: float
    deed: Deed
    whom: str = "monitor"
    for_s: float = 0.0
    fault: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.whom} {self.deed}" if self.deed is not Deed.STRIKE else str(self.fault["kind"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What happens, and how much of it must be survived."""

    blows: tuple[Blow, ...] = ()
    accounts: int = 2
    trades: int = 4
    roles: tuple[str, ...] = ()
    """Beside the monitor."""
    module: str = "axisor"
    is_guarded: bool = True
    has_successor: bool = True
    """Whether a killed monitor is started again."""
    deepest_usd: float = 59_850.0
    falls_to_mark_s: float = 2.0
    warning_s: float = 14.0
    """How long the price takes from the first mark to the deepest price."""
    settles_s: float = 30.0
    """How long after the tape what is due may still be served."""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def allows_second_send(self) -> bool:
        return self.environment.get("AXISOR_SECOND_SEND") == "true"

    def tape_usd(self) -> list[float]:
        """Return a price every tenth of a second: quickly to the mark, slowly to the deepest."""
        quick, slow = round(self.falls_to_mark_s / STEP_S), round(self.warning_s / STEP_S)
        mark_usd = 60_750.0
        return [_half(ENTRY_USD + (mark_usd - ENTRY_USD) * (i + 1) / quick) for i in range(quick)] + [
            _half(mark_usd + (self.deepest_usd - mark_usd) * (i + 1) / slow) for i in range(slow)
        ]


class Installation:
    """The processes of one scenario; it kills, freezes and cuts, and restarts what ended."""

    def __init__(self, stack: Stack, gates: Gates, scenario: Scenario) -> None:
        self.stack = stack
        self.scenario = scenario
        self._gates = gates
        self._real_urls = stack.urls
        self._valkey = gates.open(_port(stack.valkey_url))
        self._postgres = gates.open(_port(stack.urls.guard))
        self._private: Gate | None = None
        self._plain_valkey_url = stack.valkey_url
        self._old: list[subprocess.Popen[bytes]] = []
        self._owed: list[tuple[float, Callable[[], None]]] = []
        self.injected: Counter[str] = Counter()

    def start(self, role: str) -> None:
        """Start a role behind the doors; a monitor behind one of its own to PostgreSQL."""
        door = self._postgres
        if role == "monitor":
            door = self._private = self._gates.open(self._postgres.port)
        stack = self.stack
        environment = Stack(
            folder=stack.folder,
            urls=_through(self._real_urls, door),
            valkey_url=_at_port(self._plain_valkey_url, self._valkey.port),
            extra=stack.extra | self.scenario.environment,
            master_key=stack.master_key,
            exchange=stack.exchange,
        ).environment()
        module = self.scenario.module if role == "monitor" else "axisor"
        with (stack.folder / f"{role}.stderr").open("ab") as stderr:
            stack.processes[role] = subprocess.Popen(
                [sys.executable, "-P", "-m", module, role], env=environment, stdout=subprocess.DEVNULL, stderr=stderr
            )

    def strike(self, blow: Blow) -> None:
        """Do what a blow says; what must be undone later is owed."""
        self.injected[blow.name] += 1
        ends_s = time.monotonic() + blow.for_s
        match blow.deed:
            case Deed.KILL:
                self._kill(blow.whom)
            case Deed.FREEZE:
                process = self.stack.processes[blow.whom]
                process.send_signal(signal.SIGSTOP)
                self._old.append(process)
                self.start(blow.whom)
                self._owed.append((ends_s, lambda: process.send_signal(signal.SIGCONT)))
            case Deed.CUT:
                gate = self._postgres if blow.whom == "postgres" else self._valkey
                gate.shut()
                self._owed.append((ends_s, gate.reopen))
            case Deed.ALONE:
                gate = self._private
                assert gate is not None
                gate.shut()
                self._old.append(self.stack.processes["monitor"])
                self.start("monitor")
            case Deed.STRIKE:
                assert self.stack.exchange is not None
                self.stack.exchange.control("POST", "/faults", blow.fault)

    def _kill(self, role: str) -> None:
        pid = self.stack.processes[role].pid
        self.stack.kill(role)
        if role == "monitor":
            (self.stack.folder / "run" / DEAD_FILE).write_text(f"{pid}\n", encoding="ascii")
        if role != "monitor" or self.scenario.has_successor:
            self.start(role)

    def tend(self, *, everything: bool = False) -> None:
        """Undo what is due to be undone; start a role again that ended by itself, as after a lost lease."""
        now_s = time.monotonic()
        due = [undo for at_s, undo in self._owed if everything or at_s <= now_s]
        self._owed = [] if everything else [entry for entry in self._owed if entry[0] > now_s]
        for undo in due:
            undo()
        for role, process in list(self.stack.processes.items()):
            if role != "exchange" and process.poll() is not None:
                self.start(role)

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
            top_ups = [
                (posting["at_ms"], posting["entries"]["margin"])
                for posting in raw["postings"]
                if posting["kind"] == "add_margin" and posting.get("trade_id") == trade.trade_id
            ]
            ending = str(raw["trades"][trade.trade_id])
            found.append(Guarded(trade=trade, rule=rule, top_ups=top_ups, ending=ending))
        return found


@contextmanager
def under_fire(scenario: Scenario, folder: Path, urls: DatabaseUrls, valkey_url: str) -> Iterator["Battle"]:
    """Yield a guarded installation at rest."""
    gates = Gates()
    try:
        with running_stack(folder, urls, valkey_url, **QUICK) as stack:
            installation = Installation(stack, gates, scenario)
            try:
                yield Battle(scenario, installation, _prepare(scenario, installation))
            finally:
                installation.close()
    finally:
        gates.close()


def _prepare(scenario: Scenario, installation: Installation) -> Field:
    stack = installation.stack
    exchange = stack.start_exchange("--scenario", "manual", "--window", str(WINDOW_S), "--private-rate", "40")
    exchange.set_price(ENTRY_USD)
    person = stack.add_person()
    grounds = Field(person)
    for number in range(scenario.accounts):
        trader = exchange.create_account(balance_sats=20_000_000, username=f"trader {number + 1}")
        account_id = stack.connect_account(person, trader)
        for place in range(scenario.trades // scenario.accounts):
            leverage = (25, 26)[place % 2]
            trade = trader.open_trade(leverage=leverage, quantity_usd=QUANTITY_USD, name=f"{leverage}x {place}")
            # An attempt without effect goes on to count against the limit: it may yet turn out to have had one.
            rule = preset_rule(
                Preset.HOLD_LONGER,
                rule_id=RuleId(new_id()),
                leverage=Fraction(leverage),
                entry_margin_sats=trade.margin_sats,
            )
            grounds.trades.append((trader, account_id, trade, rule))
            if scenario.is_guarded:
                stack.guard_trade(account_id, trade.trade_id, rule)
    for role in ("monitor", *scenario.roles):
        installation.start(role)
    if scenario.is_guarded:
        traders = {trader.account_id: trader for trader, *_ in grounds.trades}
        wait_until(
            lambda: all(live["stoploss"] > 0 for trader in traders.values() for live in trader.live().values()),
            deadline_s=AT_REST_S,
            what="every safety stop is placed",
        )
    return grounds


@dataclass
class Battle:
    """A scenario while it happens."""

    scenario: Scenario
    installation: Installation
    field: Field
    tape: list[Tick] = field(default_factory=list)

    @property
    def person(self) -> UserId:
        return self.field.person

    def tick(self, usd: float) -> None:
        exchange = self.installation.stack.exchange
        assert exchange is not None
        exchange.set_price(usd)
        at_ms = int(SystemClock().now().timestamp() * 1000)
        self.tape.append(Tick(at_ms, Price(round(usd * 2))))

    def play(self, each_step: Callable[[float], None] = lambda _: None) -> None:
        """Let the price fall and the blows come down, each at its second."""
        blows = sorted(self.scenario.blows, key=lambda blow: blow.at_s)
        began_s = time.monotonic()
        for number, usd in enumerate(self.scenario.tape_usd()):
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

        def look() -> bool:
            self.installation.tend()
            return is_everything_served(self.tape, self.field.books())

        ends_s = time.monotonic() + self.scenario.settles_s
        while not look() and time.monotonic() < ends_s:
            time.sleep(0.1)
        self.installation.tend(everything=True)
        quiet_s = time.monotonic() + QUIET_S + 1
        while time.monotonic() < quiet_s:
            self.installation.tend()
            time.sleep(0.1)

    def judgement(self) -> Judgement:
        exchange = self.installation.stack.exchange
        assert exchange is not None
        found = judge(self.tape, self.field.books(), allows_second_send=self.scenario.allows_second_send)
        found.injected = self.installation.injected
        found.discrepancies = exchange.discrepancies()
        return found


def fight(scenario: Scenario, folder: Path, urls: DatabaseUrls, valkey_url: str) -> Judgement:
    """Return what the exchange's books say after a scenario."""
    with under_fire(scenario, folder, urls, valkey_url) as battle:
        battle.play()
        battle.settle()
        return battle.judgement()


def seeded_blows(seed: int, roles: Sequence[str], *, seconds: float, every_s: float) -> tuple[Blow, ...]:
    """Return a blow every few seconds, each at a role or server drawn by lot: the same for the same seed."""
    lot = random.Random(seed)
    blows = []
    at_s = lot.uniform(1.0, every_s)
    while at_s < seconds:
        whom = lot.choice(("monitor", "monitor", *roles, "postgres", "valkey"))
        if whom in ("postgres", "valkey"):
            blows.append(Blow(at_s=at_s, deed=Deed.CUT, whom=whom, for_s=lot.uniform(0.5, 4.0)))
        elif lot.random() < 0.5:
            blows.append(Blow(at_s=at_s, deed=Deed.KILL, whom=whom))
        else:
            for_s = lot.choice((1.0, LEASE_S + QUIET_S + 1))
            blows.append(Blow(at_s=at_s, deed=Deed.FREEZE, whom=whom, for_s=for_s))
        at_s += lot.uniform(0.5, 1.5) * every_s
    return tuple(blows)


def _half(usd: float) -> float:
    return round(usd * 2) / 2


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _at_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{port}"))


def _through(urls: DatabaseUrls, gate: Gate) -> DatabaseUrls:
    moved = {name: _at_port(getattr(urls, name), gate.port) for name in ("owner", "app", "guard", "worker")}
    return DatabaseUrls(name=urls.name, superuser=urls.superuser, **moved)

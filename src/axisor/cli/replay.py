"""`axisor replay`: one trade on a price history, guarded, left alone, with a plain stop, and with the sats at entry."""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from axisor.domain.errors import AxisorError, ConfigurationError, DomainError, InvalidRule
from axisor.domain.trades import PositionSide, Trade
from axisor.domain.units import Price, RuleId, price_from_usd, usd, usd_number
from axisor.features.lab.replay import (
    ENDS,
    Event,
    Happening,
    Outcome,
    ReplayedTrade,
    Stretch,
    opened_trade,
    pass_through,
)
from axisor.features.lab.replayed_nights import Four, replay_nights
from axisor.features.lab.rule_file import rule_of_file
from axisor.features.margin_guard.deeds import HoldReason
from axisor.features.margin_guard.rule import GuardRule, Limits, Preset, preset_rule
from axisor.paper.market.ladder import ladder
from axisor.paper.market.paths import INVENTED_START, PathPoint
from axisor.paper.market.scenarios import scenario
from axisor.paper.market.stories import STORIES
from axisor.paper.market.tape import load_tape

PLAIN_STOP: Final = Fraction(35, 100)
FUNDING_RATE: Final = Decimal("0.0001")
NIGHT_HOURS: Final = 10.0
_MINUTE_MS: Final = 60_000
_AFTER_STORY_MS: Final = 5 * _MINUTE_MS
_SILENCE_S: Final = 1.5
_REASONS: Final = {
    HoldReason.LIMIT_USED: "what it may spend on this trade is used up",
    HoldReason.ACCOUNT_LIMIT_USED: "what it may spend on this account is used up",
    HoldReason.DAY_LIMIT_USED: "what it may spend in 24 hours is used up",
    HoldReason.COUNT_USED: "it may not top up more often",
    HoldReason.NO_BALANCE: "no free sats above the reserve",
    HoldReason.NOTHING_TO_REDUCE: "nothing to reduce",
}
_ENDINGS: Final = {
    None: "still running",
    Happening.CLOSED: "closed by the rule",
    Happening.GAVE_UP: "closed at the give-up price",
    Happening.STOPPED: "closed by its stop",
    Happening.LIQUIDATED: "liquidated",
}


_WAYS: Final = {
    "guarded": "with the guard",
    "unguarded": "left alone",
    "plain_stop": "stop at 35 % of room",
    "limit_at_entry": "same sats at entry",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """What to replay and on which trade; `tape` is a file or the name of a market story."""

    tape: str
    preset: str | None = None
    rule: Path | None = None
    side: str = "long"
    leverage: Decimal = Decimal(25)
    margin_sats: int = 400_000
    entry: Decimal | None = None
    start: datetime | None = None
    hours: float | None = None
    every_hours: float | None = None
    balance_sats: int | None = None
    funding_rate: Decimal = FUNDING_RATE
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A price history as far as it is replayed."""

    name: str
    starts_at: datetime
    start_price: Price
    stretches: Iterable[Stretch]
    count: int
    is_invented: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The same trade four times, and what it was."""

    history: History
    opened: Trade
    opened_at: datetime
    rule: GuardRule
    guarded: ReplayedTrade
    alone: Outcome
    stopped: Outcome
    at_entry: Outcome | None
    """None: the rule spends nothing."""
    minutes: int
    last_price: Price
    took_s: float


def number(text: str, option: str) -> Decimal:
    """Return an option that is a number.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite():
        raise ConfigurationError(f"{option} is a number, not {text}", option=option)
    return value


def instant(text: str) -> datetime:
    """Return an option that is a day or an instant, in UTC where it has no zone.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"--start is a day or an instant, such as 2018-11-14, not {text}", option="--start"
        ) from error
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def replay(options: ReplayOptions) -> Replayed:
    """Return what happens to the trade on the history.

    Raises:
        ConfigurationError: an option or the file is wrong.
        AxisorError: the price never reaches the entry price.
    """
    side = _side(options.side)
    began = time.monotonic()
    history = _read(options, minutes=_minutes(options.hours))
    seen = _Seen(history)
    stretches = iter(seen)
    opened_at, last_price, first = history.starts_at, history.start_price, None
    if options.entry is not None:
        last_price = _price(options.entry)
        first, opened_at = _reach(stretches, last_price)
    opened = _opened(options, side, last_price, opened_at)
    rule = _rule(options, opened)
    four = _four(options, opened, rule, last_price=last_price)
    if first is not None:
        for one in four.trades():
            one.advance(first)
    pass_through(four.trades(), stretches)
    return Replayed(
        history=history,
        opened=opened,
        opened_at=opened_at,
        rule=rule,
        guarded=four.guarded,
        alone=four.alone.outcome(),
        stopped=four.stopped.outcome(),
        at_entry=None if four.at_entry is None else four.at_entry.outcome(),
        minutes=seen.count,
        last_price=seen.last_price,
        took_s=time.monotonic() - began,
    )


def replay_many(options: ReplayOptions) -> dict[str, Any]:
    """Return what comes of a new trade every `every_hours` hours, each followed for `hours` (10), as JSON values.

    Raises:
        ConfigurationError: an option or the file is wrong.
        AxisorError: the history is shorter than one trade.
    """
    if options.entry is not None:
        raise ConfigurationError("--entry is for one trade: with --every each opens at once", option="--entry")
    assert options.every_hours is not None
    side, hours = _side(options.side), options.hours or NIGHT_HOURS
    history = _read(options, minutes=None)
    if history.is_invented:
        raise ConfigurationError("--every is for a file of minutes, not for a story", option="--every")

    def begin(stretch: Stretch) -> Four:
        last_price = next(price for _, price in stretch.points())
        opened = _opened(options, side, last_price, stretch.at)
        return _four(options, opened, _rule(options, opened), last_price=last_price)

    found = replay_nights(
        _Seen(history), every=timedelta(hours=options.every_hours), lasts=timedelta(hours=hours), begin=begin
    )
    if not found.nights:
        raise AxisorError(f"{history.name} is shorter than the {hours:g} hours of one trade")
    return {
        "tape": history.name,
        "from": _instant(history.starts_at),
        "side": str(side),
        "leverage": float(options.leverage),
        "preset": "custom" if options.rule is not None else options.preset or "hold",
        "every_hours": options.every_hours,
        "hours": hours,
        "nights": found.nights,
        "died_unguarded": found.died_unguarded,
        "acted": found.acted,
        "saved": found.ways["guarded"].saved,
        "better_than_liquidation": found.better,
        "worse_than_liquidation": found.worse,
        "mean_sats_added_share": round(found.added / found.nights, 4),
        "results": {
            name: {
                "saved": way.saved,
                "ended": way.ended,
                "mean_result_share": round(way.total / found.nights, 4),
                "worst_share": round(way.worst, 4),
            }
            for name, way in found.ways.items()
        },
    }


def _read(options: ReplayOptions, *, minutes: int | None) -> History:
    with _said(f"reading {options.tape}"):
        return _history(options, minutes)


def _minutes(hours: float | None) -> int | None:
    return None if hours is None else max(1, round(hours * 60))


def _four(options: ReplayOptions, opened: Trade, rule: GuardRule, *, last_price: Price) -> Four:
    limit_sats = rule.limits.position_sats
    balance_sats = limit_sats + rule.limits.reserve_sats if options.balance_sats is None else options.balance_sats

    def trade(rule: GuardRule | None, *, put_in_sats: int = 0) -> ReplayedTrade:
        return ReplayedTrade(
            opened,
            rule,
            at=opened.created_at,
            balance_sats=balance_sats,
            put_in_sats=put_in_sats,
            funding_rate=Fraction(options.funding_rate),
            quote=_quote,
            last_price=last_price,
        )

    return Four(
        entry_margin_sats=opened.margin_sats,
        guarded=trade(rule),
        alone=trade(None),
        stopped=trade(_plain_stop()),
        at_entry=trade(None, put_in_sats=limit_sats) if limit_sats else None,
    )


class _Seen:
    """The stretches of a history as they pass, with progress on standard error."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.count = 0
        self.last_price = history.start_price

    def __iter__(self) -> Iterator[Stretch]:
        with _counted(self._history.name, self._history.count) as step:
            for stretch in self._history.stretches:
                self.count += 1
                self.last_price = stretch.close
                step(self.count)
                yield stretch


def _reach(stretches: Iterator[Stretch], entry: Price) -> tuple[Stretch, datetime]:
    """Return the rest of the stretch in which the price comes to `entry`, and when it does."""
    for stretch in stretches:
        if not stretch.low <= entry <= stretch.high:
            continue
        before: Price | None = None
        way = list(stretch.points())
        for number, (after_ms, price) in enumerate(way):
            if price == entry or (before is not None and (before - entry) * (price - entry) < 0):
                rest = way[number:]
                at = stretch.at + timedelta(milliseconds=after_ms)
                low, high = min(price for _, price in rest), max(price for _, price in rest)
                return Stretch(stretch.at, low, high, stretch.close, rest.__iter__), at
            before = price
    raise AxisorError(f"the price never comes to {usd(entry)} there: no trade is opened")


def _quote(last_price: Price, quantity_usd: int, is_buy: bool) -> Price:
    """Return what the paper exchange quotes for this size in a calm market."""
    for level in ladder(last_price, Fraction(0)):
        price = level.ask_price if is_buy else level.bid_price
        if quantity_usd <= level.max_size_usd and price is not None:
            return price
    raise ConfigurationError(f"there is no quote for {quantity_usd} USD", option="--margin")


def _side(name: str) -> PositionSide:
    try:
        return PositionSide(name)
    except ValueError as error:
        raise ConfigurationError(f"--side is long or short, not {name}", option="--side") from error


def _price(amount: Decimal) -> Price:
    try:
        return price_from_usd(amount)
    except DomainError as error:
        raise ConfigurationError(f"--entry {amount}: {error.message}", option="--entry") from error


def _opened(options: ReplayOptions, side: PositionSide, last_price: Price, at: datetime) -> Trade:
    """Return the trade opened at the quote for its size, or at the entry price that was asked for."""

    def at_price(price: Price) -> Trade:
        return opened_trade(
            side=side, leverage=Fraction(options.leverage), price=price, margin_sats=options.margin_sats, at=at
        )

    is_buy = side is PositionSide.LONG
    try:
        if options.entry is not None:
            return at_price(last_price)
        # The quote depends on the size, and the size on the quote: the size at the best one decides.
        at_best = at_price(_quote(last_price, 1, is_buy))
        return at_price(_quote(last_price, at_best.quantity_usd, is_buy))
    except DomainError as error:
        raise ConfigurationError(f"--leverage, --margin: {error.message}") from error


def _rule(options: ReplayOptions, trade: Trade) -> GuardRule:
    if options.rule is not None and options.preset is not None:
        raise ConfigurationError("--preset or --rule, not both", option="--rule")
    if options.rule is not None:
        try:
            body = json.loads(options.rule.read_text(encoding="utf-8"), parse_float=Decimal)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"--rule {options.rule} cannot be read: {error}", option="--rule") from error
        if not isinstance(body, dict):
            raise ConfigurationError(f"--rule {options.rule}: it is no JSON object", option="--rule")
        try:
            return rule_of_file(body, trade)
        except InvalidRule as error:
            raise ConfigurationError(f"--rule {options.rule}: {error.message}", option="--rule") from error
    name = options.preset or "hold"
    if name not in {"watch", "hold", "hold_longer", "cut"}:
        raise ConfigurationError(f"--preset is watch, hold, hold_longer or cut, not {name}", option="--preset")
    try:
        return preset_rule(
            Preset(name),
            rule_id=RuleId("replayed"),
            leverage=Fraction(options.leverage),
            entry_margin_sats=trade.margin_sats,
        )
    except InvalidRule as error:
        raise ConfigurationError(f"--preset {name}: {error.message}", option="--preset") from error


def _plain_stop() -> GuardRule:
    return GuardRule(
        rule_id=RuleId("plain stop"),
        version=1,
        preset=Preset.CUSTOM,
        rungs=(),
        limits=Limits(position_sats=0, account_day_sats=None, max_count=None, reserve_sats=0),
        stop_share=PLAIN_STOP,
    )


# Histories


def _history(options: ReplayOptions, most: int | None) -> History:
    if options.tape in STORIES and not Path(options.tape).exists():
        if options.start is not None:
            raise ConfigurationError("--start is for a file: a story begins at its beginning", option="--start")
        return _story(options.tape, options.seed, most)
    tape = load_tape(Path(options.tape), start=options.start, seed=options.seed)
    count = tape.candle_count if most is None else min(most, tape.candle_count)

    def stretches() -> Iterator[Stretch]:
        for number, minute in enumerate(tape.minutes()):
            at_ms = minute.market_ms
            if most is not None and (number >= count or at_ms >= most * _MINUTE_MS):
                return

            def way(points: Iterable[PathPoint], at_ms: int = at_ms) -> Iterator[tuple[int, Price]]:
                for point in points:
                    yield point.market_ms - at_ms, point.last_price

            yield Stretch(
                tape.starts_at + timedelta(milliseconds=at_ms),
                minute.low,
                minute.high,
                minute.close,
                lambda minute=minute, way=way: way(minute.points()),  # type: ignore[misc] # defaults bind the loop's
            )

    return History(
        name=tape.name, starts_at=tape.starts_at, start_price=tape.start_price, stretches=stretches(), count=count
    )


def _story(name: str, seed: int, most: int | None) -> History:
    path = scenario(name, seed)
    end_ms = path.story_ms + _AFTER_STORY_MS if most is None else most * _MINUTE_MS

    def stretches() -> Iterator[Stretch]:
        begun: list[tuple[int, Price]] = []
        start_ms = 0
        for point in path.points():
            if point.market_ms - start_ms >= _MINUTE_MS:
                yield _stretch(start_ms, begun)
                begun, start_ms = [], point.market_ms
                if start_ms >= end_ms:
                    return
            begun.append((point.market_ms - start_ms, point.last_price))

    return History(
        name=f"story {name}, seed {seed}",
        starts_at=INVENTED_START,
        start_price=path.start_price,
        stretches=stretches(),
        count=-(-end_ms // _MINUTE_MS),
        is_invented=True,
    )


def _stretch(start_ms: int, way: list[tuple[int, Price]]) -> Stretch:
    prices = [price for _, price in way]
    at = INVENTED_START + timedelta(milliseconds=start_ms)
    return Stretch(at, min(prices), max(prices), prices[-1], lambda: iter(way))


# What is shown


def as_json(found: Replayed) -> dict[str, Any]:
    """Return what happened as JSON values: sats, prices in USD, instants in UTC."""
    guarded = found.guarded.outcome()
    at_entry = found.at_entry
    return {
        "tape": found.history.name,
        "from": _instant(found.history.starts_at),
        "minutes": found.minutes,
        "last_price": usd_number(found.last_price),
        "trade": {
            "side": str(found.opened.side),
            "quantity_usd": found.opened.quantity_usd,
            "leverage": float(found.opened.leverage),
            "entry_price": usd_number(found.opened.price),
            "margin_sats": found.opened.margin_sats,
            "liquidation_price": usd_number(found.opened.liquidation_price),
            "opened_at": _instant(found.opened_at),
        },
        "preset": str(found.rule.preset),
        "spends_at_most_sats": found.rule.limits.position_sats,
        "events": [_event_json(event) for event in found.guarded.events],
        "guarded": _outcome_json(guarded),
        "unguarded": _outcome_json(found.alone),
        "plain_stop": {"room_share": float(PLAIN_STOP)} | _outcome_json(found.stopped),
        "limit_at_entry": None if at_entry is None else _outcome_json(at_entry),
        "kept_sats": {
            "against_unguarded": guarded.result_sats - found.alone.result_sats,
            "against_plain_stop": guarded.result_sats - found.stopped.result_sats,
            "against_limit_at_entry": None if at_entry is None else guarded.result_sats - at_entry.result_sats,
        },
    }


def show_many(found: dict[str, Any], *, console: Console | None = None) -> None:
    """Print what came of many trades."""
    console = console or Console(highlight=False)
    nights, died = found["nights"], found["died_unguarded"]

    def of(count: int, whole: int) -> str:
        return f"{count:,} ({100 * count / whole:.1f} %)" if whole else "0"

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False)

    say(
        f"{found['tape']}: {nights:,} times a {found['side']} at {found['leverage']:g}x, {found['preset']}, one every "
        f"{found['every_hours']:g} h, each for {found['hours']:g} h"
    )
    say(f"Left alone, {of(died, nights)} are liquidated. The guard acted on {of(found['acted'], nights)}.")
    if died:
        say(
            f"Of those that would have died: {of(found['saved'], died)} still run, "
            f"{of(found['better_than_liquidation'], died)} stand better than a liquidation, "
            f"{of(found['worse_than_liquidation'], died)} worse."
        )
    say(f"It put in {100 * found['mean_sats_added_share']:.1f} % of the margin on average.")
    table = Table(box=None, pad_edge=False)
    table.add_column("% of the margin", no_wrap=True)
    for name in ("ended", "mean result", "worst"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, way in found["results"].items():
        mean, worst = 100 * way["mean_result_share"], 100 * way["worst_share"]
        table.add_row(_WAYS[name], f"{way['ended']:,}", f"{mean:+.2f}", f"{worst:+.0f}")
    console.print(table)


def _event_json(event: Event) -> dict[str, Any]:
    return {
        "at": _instant(event.at),
        "price": usd_number(event.price),
        "what": str(event.what),
        "step": event.step,
        "sats": event.sats,
        "liquidation_price": None if event.liquidation_price is None else usd_number(event.liquidation_price),
        "stop_price": None if event.stop_price is None else usd_number(event.stop_price),
        "reason": None if event.reason is None else _reason(event.reason),
    }


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "ended_by": "running" if outcome.ended_by is None else str(outcome.ended_by),
        "ended_at": None if outcome.ended_at is None else _instant(outcome.ended_at),
        "added_sats": outcome.added_sats,
        "top_ups": outcome.top_ups,
        "funding_sats": outcome.funding_sats,
        "result_sats": outcome.result_sats,
    }


def show(found: Replayed, *, console: Console | None = None) -> None:
    """Print the story of the guarded trade, and how it compares."""
    console = console or Console(highlight=False)
    trade, guarded = found.opened, found.guarded.outcome()

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False)

    say(
        f"{found.history.name}: {trade.side} {float(trade.leverage):g}x, {trade.quantity_usd:,} USD at "
        f"{usd(trade.price):,}, {_sats(trade.margin_sats)} of margin, {_words(found.rule.preset)}, spends at most "
        f"{_sats(found.rule.limits.position_sats)}"
    )
    say("")
    for event in _told(found.guarded.events):
        at = event.at.strftime("%H:%M:%S" if found.history.is_invented else "%Y-%m-%d %H:%M:%S")
        say(f"{at}  {usd(event.price):>11,.1f}  {_sentence(event)}")
    if guarded.ended_by is None:
        say(f"{'end':<{8 if found.history.is_invented else 19}} {usd(found.last_price):>11,.1f}  still running")
    say("")
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("ended", no_wrap=True)
    for name in ("sat put in", "result", "the guard"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = [
        (_WAYS["guarded"], guarded),
        (_WAYS["unguarded"], found.alone),
        (_WAYS["plain_stop"], found.stopped),
    ]
    if found.at_entry is not None:
        rows.append((_WAYS["limit_at_entry"], found.at_entry))
    for name, outcome in rows:
        kept = "" if outcome is guarded else _kept(guarded.result_sats - outcome.result_sats)
        table.add_row(name, _ENDINGS[outcome.ended_by], f"{outcome.added_sats:,}", f"{outcome.result_sats:+,}", kept)
    console.print(table)
    say("")
    say(_verdict(guarded, found.alone))
    say(
        f"{found.minutes:,} minutes in {found.took_s:.1f} s. Here the guard acts at once: delays, refusals and "
        "slippage are not in a price history."
    )


def _told(events: list[Event]) -> Iterator[Event]:
    """Yield what is worth a line: a stop that follows a top-up at once is told with it, funding not at all."""
    for event in events:
        if event.what is not Happening.FUNDING:
            yield event


def _sentence(event: Event) -> str:
    liquidation = "" if event.liquidation_price is None else f"liquidation {usd(event.liquidation_price):,}"
    match event.what:
        case Happening.OPENED:
            return f"opened, {_sats(event.sats)} with fees · {liquidation}"
        case Happening.WARNED:
            return "room is getting small: told you"
        case Happening.TOPPED_UP:
            return f"topped up {_sats(event.sats)} · {liquidation}"
        case Happening.STOP_SET:
            assert event.stop_price is not None
            return f"safety stop at {usd(event.stop_price):,}: it would return {_sats(event.sats)}"
        case Happening.HELD:
            assert event.reason is not None
            return f"nothing done: {_reason(event.reason)}"
        case Happening.REDUCED:
            return f"closed, {_sats(event.sats)} came back, and opened smaller · {liquidation}"
        case Happening.FUNDING:
            return f"funding {_signed(-event.sats)}"
        case ending:
            assert ending in ENDS
            return f"{_ENDINGS[ending]}, {_sats(event.sats)} came back"


def _reason(reason: HoldReason) -> str:
    return _REASONS.get(reason, "it is not possible now")


def _verdict(guarded: Outcome, alone: Outcome) -> str:
    difference = guarded.result_sats - alone.result_sats
    if difference == 0:
        return "With and without the guard it comes to the same."
    if difference > 0:
        return f"The guard kept {_sats(difference)}, all it put in counted."
    return f"The guard cost {_sats(-difference)}: without it less would have been lost."


def _words(preset: Preset) -> str:
    return {Preset.CUSTOM: "your rule", Preset.HOLD_LONGER: "Hold longer"}.get(preset, preset.value.capitalize())


def _sats(sats: int) -> str:
    return f"{sats:,} sat"


def _signed(sats: int) -> str:
    return f"{sats:+,} sat"


def _kept(sats: int) -> str:
    return f"{'kept' if sats >= 0 else 'cost'} {abs(sats):,}"


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


# Progress


@contextmanager
def _said(text: str) -> Iterator[None]:
    """Show on a terminal's standard error that this goes on."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        print(text, file=sys.stderr, flush=True)
        yield
        return
    with console.status(text):
        yield


@contextmanager
def _counted(name: str, count: int) -> Iterator[Any]:
    """Show how far a history is: a bar on a terminal, else a line now and then."""
    console = Console(file=sys.stderr)
    said_at = time.monotonic()
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
        with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
            task = bar.add_task(name, total=count)
            yield lambda done: bar.update(task, completed=done) if done % 1_000 == 0 else None
        return

    def line(done: int) -> None:
        nonlocal said_at
        if done % 1_000 == 0 and time.monotonic() - said_at > _SILENCE_S:
            said_at = time.monotonic()
            print(f"{name}: {100 * done // count} %", file=sys.stderr, flush=True)

    yield line

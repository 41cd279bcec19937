import gzip
from array import array
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories.minutes import year_2018
from tests.factories.prices import at

from axisor.domain.errors import ConfigurationError
from axisor.domain.units import Price
from axisor.paper.market.paths import PathPoint
from axisor.paper.market.tape import POINTS_PER_CANDLE, TapePath, load_tape, minute_path

YEAR_2018 = year_2018()
START = datetime(2026, 1, 1, tzinfo=UTC)
START_MS = int(START.timestamp()) * 1000
GOOD = (
    "time,open,high,low,close,volume\n"
    f"{START_MS},60000,60010,59990,60005,2\n"
    f"{START_MS + 60_000},60005,60005,59950.24,59950.26,1.5\n"
    f"{START_MS + 180_000},59950,59950,59950,59950,0\n"
)


def written(folder: Path, text: str, name: str = "tape.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def minutes_of(tape: TapePath) -> dict[int, list[PathPoint]]:
    grouped: dict[int, list[PathPoint]] = {}
    for point in tape.points():
        grouped.setdefault(point.market_ms // 60_000, []).append(point)
    return grouped


def test_a_tape_plays_its_minutes_and_leaves_out_those_without_a_candle(tmp_path: Path) -> None:
    tape = load_tape(written(tmp_path, GOOD))
    assert (tape.name, tape.starts_at, tape.start_price, tape.candle_count) == ("tape.csv", START, at(60_000), 3)
    minutes = minutes_of(tape)
    assert list(minutes) == [0, 1, 3]
    for points in minutes.values():
        assert [point.market_ms % 60_000 for point in points] == list(range(0, 60_000, 2_000))


def test_prices_are_rounded_to_the_nearest_tick(tmp_path: Path) -> None:
    second = minutes_of(load_tape(written(tmp_path, GOOD)))[1]
    prices = [point.last_price for point in second]
    assert (prices[0], min(prices), prices[-1]) == (at(60_005), at(59_950), at("59950.5"))


ticks = st.integers(2, 200_000)


@given(st.tuples(ticks, ticks, ticks, ticks))
def test_a_minute_touches_open_both_extremes_and_close_and_never_leaves_its_range(
    four: tuple[int, int, int, int],
) -> None:
    low, high = min(four), max(four)
    open_, close = four[0], four[3]
    prices = list(minute_path(open_, high, low, close))
    assert len(prices) == POINTS_PER_CANDLE
    assert (prices[0], prices[-1]) == (open_, close)
    assert (min(prices), max(prices)) == (low, high)
    assert prices == list(minute_path(open_, high, low, close))


candles = st.lists(st.tuples(ticks, ticks, ticks, ticks), min_size=1, max_size=12)


def a_tape(fours: list[tuple[int, int, int, int]], seed: int) -> tuple[TapePath, list[tuple[int, int, int, int]]]:
    """Return a tape of made-up minutes, every third of them missing, and their open, high, low and close."""
    bars = [(four[0], max(four), min(four), four[3]) for four in fours]
    times = array("q", (60_000 * (number + number // 2) for number in range(len(bars))))
    tape = TapePath(
        name="made up",
        starts_at=START,
        start_price=Price(bars[0][0]),
        seed=seed,
        _times_ms=times,
        _ticks=array("q", (price for bar in bars for price in bar)),
        _past=(),
    )
    return tape, bars


@given(fours=candles, seed=st.integers(0, 2**32))
def test_candles_made_again_from_the_path_are_those_of_the_tape(
    fours: list[tuple[int, int, int, int]], seed: int
) -> None:
    tape, bars = a_tape(fours, seed)
    again = []
    for points in minutes_of(tape).values():
        prices = [point.last_price for point in points]
        again.append((prices[0], max(prices), min(prices), prices[-1]))
    assert again == bars


@given(fours=candles, seed=st.integers(0, 2**32), data=st.data())
def test_what_comes_after_a_minute_does_not_change_the_path_within_it(
    fours: list[tuple[int, int, int, int]], seed: int, data: st.DataObject
) -> None:
    known = data.draw(st.integers(1, len(fours)))
    whole, begun = a_tape(fours, seed)[0], a_tape(fours[:known], seed)[0]
    assert list(whole.points())[: known * POINTS_PER_CANDLE] == list(begun.points())


def test_a_seed_gives_the_same_way_through_the_minutes_and_another_seed_another() -> None:
    def played(seed: int) -> list[PathPoint]:
        return list(a_tape([(120_000, 120_300, 119_700, 120_100 + number) for number in range(9)], seed)[0].points())

    assert played(4) == played(4)
    assert played(4) != played(5)


def test_a_minute_that_rose_usually_touches_its_low_first_one_that_fell_its_high() -> None:
    def touches_low_first(open_: int, close: int, reach: int) -> bool:
        prices = list(minute_path(open_, 120_100 + reach, 119_900 - reach, close))
        return prices.index(Price(119_900 - reach)) < prices.index(Price(120_100 + reach))

    rose = sum(touches_low_first(120_000, 120_050, reach) for reach in range(400))
    fell = sum(touches_low_first(120_050, 120_000, reach) for reach in range(400))
    assert 230 <= rose <= 320
    assert 80 <= fell <= 170


def test_the_start_is_the_first_candle_at_or_after_the_wished_one_and_the_past_is_kept(tmp_path: Path) -> None:
    tape = load_tape(written(tmp_path, GOOD), start=START + timedelta(minutes=2))
    assert tape.starts_at == START + timedelta(minutes=3)
    assert tape.start_price == at(59_950)
    past = tape.history(minutes=10)
    assert [candle.at for candle in past] == [START, START + timedelta(minutes=1)]
    assert (past[0].open, past[0].high, past[0].low, past[0].close) == (
        at(60_000),
        at(60_010),
        at(59_990),
        at(60_005),
    )
    assert past[0].volume == Decimal(120_010)
    assert [candle.at for candle in tape.history(minutes=2)] == [START + timedelta(minutes=1)]


def test_a_start_without_a_zone_is_utc(tmp_path: Path) -> None:
    wished = (START + timedelta(minutes=1)).replace(tzinfo=None)
    assert load_tape(written(tmp_path, GOOD), start=wished).starts_at == START + timedelta(minutes=1)


@pytest.mark.parametrize(
    "time", [str(START_MS), str(START_MS // 1000), "2026-01-01T00:00:00Z", "2026-01-01 00:00", "2026-01-01T01:00+01:00"]
)
def test_times_may_be_seconds_milliseconds_or_iso(tmp_path: Path, time: str) -> None:
    tape = load_tape(written(tmp_path, f"time,open,high,low,close\n{time},60000,60000,60000,60000\n"))
    assert tape.starts_at == START


def test_columns_may_come_in_any_order_and_volume_may_be_absent(tmp_path: Path) -> None:
    text = f"Close, HIGH,low,open,extra,time\n60005,60010,59990,60000,x,{START_MS}\n\n"
    tape = load_tape(written(tmp_path, text))
    prices = [point.last_price for point in tape.points()]
    assert (prices[0], max(prices), min(prices), prices[-1]) == (at(60_000), at(60_010), at(59_990), at(60_005))
    later = load_tape(written(tmp_path, GOOD), start=START + timedelta(minutes=1))
    assert later.history(minutes=1)[0].close == at(60_005)


def test_a_compressed_tape_is_the_same_tape(tmp_path: Path) -> None:
    packed = tmp_path / "tape.csv.gz"
    packed.write_bytes(gzip.compress(GOOD.encode()))
    plain = load_tape(written(tmp_path, GOOD))
    assert list(load_tape(packed).points()) == list(plain.points())


HEAD = "time,open,high,low,close,volume\n"
ROW = f"{START_MS},60000,60010,59990,60005,1\n"
NEXT = START_MS + 60_000


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("", 1, "time", "the header has no such column"),
        (ROW, 1, "time", "the header has no such column"),
        ("time,open,high,low\n", 1, "close", "the header has no such column"),
        (HEAD + ROW + f"{NEXT},60000,60010,59990\n", 3, "close", "is missing"),
        (HEAD + ROW + f"{NEXT},60000,60010,59990,60005\n", 3, "volume", "is missing"),
        (HEAD + ROW + f"{NEXT},60000,sixty,59990,60005,1\n", 3, "high", "'sixty' is no number"),
        (HEAD + ROW + f"{NEXT},60000,nan,59990,60005,1\n", 3, "high", "'nan' is no number"),
        (HEAD + ROW + f"{NEXT},60000,inf,59990,60005,1\n", 3, "high", "'inf' is no number"),
        (HEAD + ROW + f"{NEXT},60000,59980,59990,60005,1\n", 3, "high", "59980 is below the low 59990"),
        (HEAD + ROW + f"{NEXT},59989,60010,59990,60005,1\n", 3, "open", "lies outside low and high"),
        (HEAD + ROW + f"{NEXT},60000,60010,59990,60011,1\n", 3, "close", "lies outside low and high"),
        (HEAD + ROW + f"{NEXT},0.4,0.5,0.3,0.4,1\n", 3, "low", "lies outside 1 to 100000000 USD"),
        (HEAD + ROW + f"{NEXT},1,100000001,1,1,1\n", 3, "high", "lies outside 1 to 100000000 USD"),
        (HEAD + ROW + f"{NEXT},60000,60010,59990,60005,-1\n", 3, "volume", "-1 is negative"),
        (HEAD + ROW + ROW, 3, "time", "is not later than the row before"),
        (HEAD + ROW + f"{START_MS - 60_000},60000,60010,59990,60005,1\n", 3, "time", "is not later"),
        (HEAD + ROW + "yesterday,60000,60010,59990,60005,1\n", 3, "time", "'yesterday' is no time"),
        (HEAD + "\n" + "yesterday,60000,60010,59990,60005,1\n", 3, "time", "'yesterday' is no time"),
    ],
)
def test_a_wrong_row_is_refused_with_file_line_and_column(
    tmp_path: Path, text: str, line: int, column: str, problem: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as refusal:
        load_tape(path)
    assert refusal.value.message.startswith(f"{path}, line {line}, column {column}: ")
    assert problem in refusal.value.message
    assert refusal.value.context == {"file": str(path), "line": line, "column": column}


def test_a_wrong_row_in_the_remembered_past_is_refused_too(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + f"{START_MS},60000,sixty,59990,60005,1\n{NEXT},60000,60000,60000,60000,1\n")
    with pytest.raises(ConfigurationError, match="line 2, column high"):
        load_tape(path, start=START + timedelta(minutes=1))


def test_a_row_without_a_time_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, f"open,high,low,close,time\n60000,60000,60000,60000,{START_MS}\n60000,60000\n")
    with pytest.raises(ConfigurationError, match="line 3, column time: is missing"):
        load_tape(path)


@pytest.mark.parametrize(("text", "start"), [(HEAD, None), (GOOD, START + timedelta(days=1))])
def test_a_tape_without_a_candle_to_play_is_refused(tmp_path: Path, text: str, start: datetime | None) -> None:
    with pytest.raises(ConfigurationError, match="there is no candle"):
        load_tape(written(tmp_path, text), start=start)


def test_a_file_that_cannot_be_read_is_refused_with_its_name(tmp_path: Path) -> None:
    absent = tmp_path / "absent.csv"
    with pytest.raises(ConfigurationError, match=r"absent\.csv cannot be read"):
        load_tape(absent)
    not_packed = written(tmp_path, GOOD, "plain.csv.gz")
    with pytest.raises(ConfigurationError, match=r"plain\.csv\.gz cannot be read"):
        load_tape(not_packed)
    cut_off = tmp_path / "cut.csv.gz"
    cut_off.write_bytes(gzip.compress(GOOD.encode())[:-12])
    with pytest.raises(ConfigurationError, match=r"cut\.csv\.gz cannot be read"):
        load_tape(cut_off)
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigurationError, match=r"binary\.csv, line 1: this is no CSV text"):
        load_tape(binary)


def test_the_real_year_2018_is_read_from_a_date_and_keeps_to_its_candles() -> None:
    if YEAR_2018 is None:
        pytest.skip("the recorded year 2018 is absent: no shared/data beside the checkout")
    tape = load_tape(YEAR_2018, start=datetime(2018, 11, 14, tzinfo=UTC))
    assert tape.starts_at == datetime(2018, 11, 14, tzinfo=UTC)
    assert tape.candle_count == 68_636
    assert len(tape.history(minutes=60)) > 50
    crash = [point.last_price for point in tape.points() if point.market_ms < 12 * 24 * 3600 * 1000]
    assert (max(crash) > at(6_300), min(crash) < at(3_700)) == (True, True)

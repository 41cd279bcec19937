"""`axisor replay`: what is told about a trade on a price history, as people and as programs ask for it."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.factories.trades import a_running_trade

from axisor.cli.replay import ReplayOptions, as_json, instant, replay, replay_many, show, show_many
from axisor.domain.errors import AxisorError, ConfigurationError
from axisor.features.lab.rule_file import rule_of_file
from axisor.features.margin_guard.rule import REARM_SHARE

ROOT = Path(__file__).resolve().parents[3]
RULE = {
    "steps": [
        {"key": "tell", "trigger": {"kind": "room_share", "share": 0.6}, "action": {"kind": "notify"}},
        {
            "key": "add",
            "trigger": {"kind": "distance", "distance": 0.02},
            "action": {"kind": "top_up_to", "distance": 0.05},
        },
        {
            "key": "smaller",
            "trigger": {"kind": "price", "price": 59_000},
            "action": {"kind": "reduce", "share": 0.5, "how": "reopen"},
        },
    ],
    "limits": {"position_margins": 0.5, "max_count": 5},
    "stop_share": 0.1,
}


def found(tape: str, **options: Any) -> dict[str, Any]:
    return as_json(replay(ReplayOptions(tape=tape, **options)))


def told(tape: str, **options: Any) -> str:
    console = Console(record=True, width=80, file=StringIO(), highlight=False)
    show(replay(ReplayOptions(tape=tape, **options)), console=console)
    return console.export_text()


def axisor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "axisor", "replay", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def a_file(folder: Path, *rows: str) -> str:
    path = folder / "minutes.csv"
    path.write_text("\n".join(["time,open,high,low,close", *rows]) + "\n", encoding="utf-8")
    return str(path)


def test_the_example_of_the_help_works_on_a_fresh_checkout_and_is_json_alone() -> None:
    answer = axisor("crash", "--json")
    assert answer.returncode == 0, answer.stderr
    kept = json.loads(answer.stdout)
    assert (kept["unguarded"]["ended_by"], kept["guarded"]["ended_by"]) == ("liquidated", "running")
    assert kept["kept_sats"]["against_unguarded"] > 300_000


def test_a_crash_that_turns_is_survived_and_a_slow_fall_costs() -> None:
    crash, bleed = found("crash"), found("bleed")
    assert [event["what"] for event in crash["events"]][:4] == ["opened", "stop_set", "warned", "topped_up"]
    assert crash["kept_sats"]["against_unguarded"] == (
        crash["guarded"]["result_sats"] - crash["unguarded"]["result_sats"]
    )
    assert bleed["guarded"]["ended_by"] == "stopped"
    assert bleed["guarded"]["added_sats"] == 400_000
    assert bleed["kept_sats"]["against_unguarded"] < -300_000
    assert bleed["plain_stop"]["result_sats"] > bleed["unguarded"]["result_sats"] > bleed["guarded"]["result_sats"]
    assert bleed["limit_at_entry"]["ended_by"] == "liquidated"


def test_watch_keeps_and_costs_nothing() -> None:
    watch = found("crash", preset="watch")
    assert watch["kept_sats"]["against_unguarded"] == 0
    assert watch["limit_at_entry"] is None
    assert {event["what"] for event in watch["events"]} == {"opened", "warned", "liquidated"}


def test_a_short_is_saved_from_a_squeeze() -> None:
    squeeze = found("squeeze", side="short", preset="hold_longer")
    assert squeeze["unguarded"]["ended_by"] == "liquidated"
    assert squeeze["kept_sats"]["against_unguarded"] > 0


def test_a_rule_of_ones_own_is_replayed_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "rule.json"
    path.write_text(json.dumps(RULE), encoding="utf-8")
    own = found("bleed", rule=path)
    assert own["spends_at_most_sats"] == 200_000
    deeds = [(event["what"], event["step"]) for event in own["events"] if event["step"] is not None]
    assert ("topped_up", "add") in deeds
    assert ("reduced", "smaller") in deeds
    assert "opened smaller" in told("bleed", rule=path)


def test_the_trade_opens_when_the_price_comes_to_its_entry() -> None:
    late = found("bleed", entry=Decimal(60_000), hours=0.1)
    assert late["trade"]["entry_price"] == 60_000
    assert late["trade"]["opened_at"] > late["from"]
    with pytest.raises(AxisorError, match="never comes to 70000"):
        found("bleed", entry=Decimal(70_000), hours=0.1)


def test_a_file_of_minutes_is_followed_from_where_it_is_asked_to(tmp_path: Path) -> None:
    rows = [f"{1_599_999_960 + 60 * minute},10000,10010,9990,10000" for minute in range(30)]
    rows.append(f"{1_599_999_960 + 60 * 30},10000,10000,9500,9500")
    tape = a_file(tmp_path, *rows)
    whole = found(tape)
    assert (whole["minutes"], whole["unguarded"]["ended_by"]) == (31, "liquidated")
    part = found(tape, start=instant("2020-09-13T12:30"), hours=0.2)
    assert (part["from"], part["minutes"]) == ("2020-09-13T12:30:00Z", 12)
    assert part["guarded"]["ended_by"] == "running"


def test_what_is_told_uses_a_traders_words_and_fits_the_terminal() -> None:
    text = told("bleed")
    for words in ("topped up", "safety stop at", "room is getting small", "closed by its stop", "The guard cost"):
        assert words in text
    for word in ("rung", "arming", "intent", "fence", "hysteresis"):
        assert word not in text.lower()
    table = text[text.index("sat put in") - 60 :]
    assert all(len(line) <= 80 for line in table.splitlines()[:5])
    assert "comes to the same" in told("calm", hours=0.1)


def a_week_of_waves(folder: Path) -> str:
    """Return four days of minutes in which the price falls by 6 % in every second half day, and comes back."""
    rows, before = [], 10_000
    for minute in range(4 * 24 * 60):
        part = minute % 1_440
        price = 10_000 if part < 700 else 10_000 - min(part - 700, 1_440 - part, 60) * 10
        low, high = min(before, price) - 1, max(before, price) + 1
        rows.append(f"{1_600_041_600 + 60 * minute},{before},{high},{low},{price}")
        before = price
    return a_file(folder, *rows)


def test_a_new_trade_every_few_hours_is_counted_and_set_beside_what_else_one_could_do(tmp_path: Path) -> None:
    tape = a_week_of_waves(tmp_path)
    many = replay_many(ReplayOptions(tape=tape, every_hours=6, hours=10))
    assert many["nights"] == 15  # of 16, the last is not followed to its end
    assert many["died_unguarded"] == many["results"]["unguarded"]["ended"] > 0
    assert many["saved"] + many["results"]["guarded"]["ended"] >= many["died_unguarded"]
    assert many["better_than_liquidation"] + many["worse_than_liquidation"] == many["died_unguarded"]
    assert set(many["results"]) == {"guarded", "unguarded", "plain_stop", "limit_at_entry"}
    console = Console(record=True, width=80, file=StringIO(), highlight=False)
    show_many(many, console=console)
    assert "15 times a long at 25x, hold, one every 6 h, each for 10 h" in console.export_text()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"entry": Decimal(10_000)}, ConfigurationError, "--entry is for one trade"),
        ({"tape": "crash"}, ConfigurationError, "not for a story"),
        ({"hours": 200.0}, AxisorError, "shorter than the 200 hours"),
    ],
)
def test_many_trades_need_a_file_that_is_long_enough(
    tmp_path: Path, options: dict[str, Any], error: type[AxisorError], words: str
) -> None:
    tape = a_file(tmp_path, *(f"{1_600_041_600 + 60 * minute},10,10,10,10" for minute in range(100)))
    with pytest.raises(error, match=words):
        replay_many(ReplayOptions(**{"tape": tape, "every_hours": 1.0, "margin_sats": 40_000_000, **options}))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["crash", "--preset", "balanced"], 2, "--preset is watch, hold, hold_longer or cut"),
        (["bleed", "--entry", "70000", "--hours", "0.1"], 1, "the price never comes to 70000"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_exit_code(arguments: list[str], code: int, words: str) -> None:
    answer = axisor(*arguments)
    assert answer.returncode == code, answer.stderr
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"side": "up"}, "--side is long or short"),
        ({"tape": "/nowhere.csv"}, "/nowhere.csv cannot be read"),
        ({"leverage": Decimal(75)}, "offered up to 50x"),
        ({"margin_sats": 10**12}, "--leverage, --margin"),
        ({"entry": Decimal("60000.3")}, "--entry 60000.3"),
        ({"start": instant("2018-01-01")}, "--start is for a file"),
        ({"preset": "hold", "rule": Path("rule.json")}, "--preset or --rule, not both"),
        ({"rule": Path("/nowhere.json")}, "--rule /nowhere.json cannot be read"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        found(**{"tape": "crash", **options})


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"steps": 1}',
        '{"steps": [{"key": "a"}]}',
        '{"steps": [], "give_up_price": 100.3}',
        '{"steps": [], "limits": {"colour": 1}}',
        '{"steps": [], "shortage": "pray"}',
        '{"steps": [], "limits": 7}',
    ],
)
def test_a_file_that_holds_no_rule_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rule.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"rule\.json"):
        found("crash", rule=path)


def test_a_rule_without_extras_has_no_stop_and_no_limit_on_count() -> None:
    rule = rule_of_file({"steps": [], "stop_share": None}, a_running_trade())
    assert (rule.stop_share, rule.limits.max_count, rule.limits.position_sats) == (None, None, 0)
    assert rule.rearm_share == REARM_SHARE


def test_a_limit_in_entry_margins_is_one_in_sats_of_the_replayed_trade() -> None:
    rule = rule_of_file({"steps": [], "limits": {"position_margins": 0.5}}, a_running_trade())
    assert (rule.limits.position_sats, rule.limits.position_margins) == (200_000, None)

"""docs/guides/coverage.md says of each thing that may be wrong what the code does."""

import re
from pathlib import Path
from typing import Final

import pytest

from axisor.domain.commands import CommandClass
from axisor.features.margin_guard.conduct import CONDUCT
from axisor.features.margin_guard.coverage import RED, ReasonCode
from axisor.monitor import health, market_check, reader
from axisor.settings import GuardSettings

GUIDE: Final = Path(__file__).resolve().parents[3] / "docs" / "guides" / "coverage.md"
ROW: Final = re.compile(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|(?: ([^|]+) \|)?$", re.MULTILINE)
ROWS: Final = {code: [cell.strip() for cell in cells if cell] for code, *cells in ROW.findall(GUIDE.read_text())}
GUARD: Final = GuardSettings()
FIGURES: Final = {
    ReasonCode.PRICE_STALE: [f"AXISOR_PRICE_STALE_S`, {GUARD.price_stale_s:g} s"],
    ReasonCode.STREAM_DOWN: [f"for {health.QUIET_AFTER_S:g} s"],
    ReasonCode.ACCOUNT_UNREAD: [f"at least {health.LEAST_UNREAD_S:g} s", f"for {health.UNPROVEN_S:g} s"],
    ReasonCode.DATA_DISAGREE: [
        f"{float(market_check.TOLERANCE):.1%}".replace("%", " %"),
        f"last {market_check.STREAM_WINDOW_S:g} s",
    ],
    ReasonCode.CLOCK_SKEW: [f"more than {market_check.SKEW_TOLERATED_S:g} s"],
    ReasonCode.KEY_REFUSED: [f"{reader.AUTH_FAILURES} times over {reader.AUTH_FAILURES_OVER_S:g} s"],
    ReasonCode.EXCHANGE_DEGRADED: [f"for {health.PROOF_LATE_S:g} s"],
}


def test_every_reason_has_one_row() -> None:
    assert sorted(ROWS) == sorted(code.value for code in ReasonCode)


@pytest.mark.parametrize("code", ReasonCode)
def test_the_colour_is_the_usual_one(code: ReasonCode) -> None:
    usual = "off" if code is ReasonCode.NOT_GUARDED else "red" if code in RED else "amber"

    assert ROWS[code][0].startswith(usual)


@pytest.mark.parametrize("code", CONDUCT)
def test_what_goes_on_is_what_the_code_lets_go_on(code: ReasonCode) -> None:
    top_ups, risk = ROWS[code][2:]
    conduct = CONDUCT[code]

    assert top_ups.startswith("go on") is conduct.goes(CommandClass.MONEY_IN)
    assert top_ups.startswith("wait") is not conduct.goes(CommandClass.MONEY_IN)
    assert risk == ("goes on" if conduct.goes(CommandClass.RISK) else "waits")


@pytest.mark.parametrize("code", FIGURES)
def test_the_bounds_are_those_of_the_code(code: ReasonCode) -> None:
    assert [figure for figure in FIGURES[code] if figure not in ROWS[code][1]] == []


def test_when_it_is_told_is_when_the_code_tells_it() -> None:
    told = GUIDE.read_text()

    assert f"mends itself within {health.ALARM_AFTER_S:g} s" in told
    assert f"right again for {health.CALM_AFTER_S:g} s" in told
    assert f"asked every {2 * market_check.CHECK_EVERY_S:g} s" in told

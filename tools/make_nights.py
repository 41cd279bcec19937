"""Make the figures behind the preset cards, and the tables of the guide that state them.

    PYTHONPATH=src python -m tools.make_nights ../shared/data/btcusd-1m-2018.csv.gz

writes src/axisor/features/lab/nights_2018.json and the marked part of docs/guides/presets.md; without a file of
candles, the guide alone, from the figures that are there. The candles stay where they are; only figures, and what
they were made from, enter the repository.
"""

import argparse
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from tools.presets_page import page

from axisor.features.lab import simulate as sim
from axisor.features.lab.tally import Tally, tally

ROOT: Final = Path(__file__).parents[1]
TARGET: Final = ROOT / "src/axisor/features/lab/nights_2018.json"
GUIDE: Final = ROOT / "docs/guides/presets.md"
LEVERAGES: Final = (5, 10, 15, 20, 25, 30, 40, 50, 75, 100)
STUDIED: Final = (5, 10, 25, 50, 100)
WEEK_LEVERAGES: Final = (5, 10, 25, 50)
WEEK_MINUTES: Final = 7 * 24 * 60
WEEK_START_EVERY_MINUTES: Final = 120
TOP_UP_PERCENTS: Final = (25, 30, 35, 40, 45, 50, 55, 60, 65, 70)
LIMIT_PERCENTS: Final = (50, 100, 150, 200, 300)
MOST_LEVERAGE_OF_MARKS: Final = 50
CUT: Final = sim.Guard(close_share=0.35)
OTHERS: Final = {
    "replenish": sim.Guard(stop_share=None, top_up_distance=0.03, adds=1, limit=10),
    # It asked every 20 to 30 seconds: the ends of minutes are nearer to that than an answer at once.
    "earlier": sim.Guard(stop_share=None, consumed_share=0.1, adds=0.2, limit=10_000, is_late=True),
    "distance_3": sim.Guard(top_up_distance=0.03, limit=2),
}


def preset_mark(leverage: int) -> int:
    """Return the top-up mark of Hold and Hold longer in percent of full room."""
    return 35 if leverage < 25 else 50


def guards(leverage: int) -> Iterator[tuple[str, sim.Guard, float | None]]:
    """Yield what is simulated at a leverage: name, guard, and the limit in margins that its owner could put in."""
    for percent in (35, 50):
        yield f"stop/{percent}", sim.Guard(stop_share=percent / 100), None
    for limit in LIMIT_PERCENTS:
        yield f"at_entry/{limit}", sim.Guard(stop_share=None, at_entry=limit / 100), None
    yield "cut", CUT, None
    marks = TOP_UP_PERCENTS if leverage <= MOST_LEVERAGE_OF_MARKS else (preset_mark(leverage),)
    for share in marks:
        for limit in LIMIT_PERCENTS:
            yield f"{share}/{limit}", sim.Guard(top_up_share=share / 100, limit=limit / 100), limit / 100
    if leverage in STUDIED:
        yield "cut/late", sim.Guard(close_share=0.35, is_late=True), None
        for limit in (100, 200):
            share = preset_mark(leverage)
            guard = sim.Guard(top_up_share=share / 100, limit=limit / 100, is_late=True)
            yield f"{share}/{limit}/late", guard, limit / 100
        for name, guard in OTHERS.items():
            yield name, guard, None


def week_guards(leverage: int) -> Iterator[tuple[str, sim.Guard, float | None]]:
    """Yield what is simulated over seven days."""
    share = preset_mark(leverage)
    for limit in (100, 200):
        guard = sim.Guard(top_up_share=share / 100, limit=limit / 100)
        yield f"{share}/{limit}", guard, limit / 100
        late = sim.Guard(top_up_share=share / 100, limit=limit / 100, is_late=True)
        yield f"{share}/{limit}/late", late, limit / 100
    yield "cut", CUT, None
    yield "replenish", OTHERS["replenish"], None


def count_leverage(
    market: sim.Minutes, leverage: int, *, is_week: bool = False, only: frozenset[str] | None = None
) -> dict[str, Any]:
    """Return what dies at a leverage, what that costs, and the row of each rule; `only` those named, if any are."""
    minutes = WEEK_MINUTES if is_week else sim.NIGHT_MINUTES
    starts = market.hourly_starts(minutes=minutes)
    if is_week:
        starts = np.arange((len(market.open) - minutes) // WEEK_START_EVERY_MINUTES) * WEEK_START_EVERY_MINUTES

    def run(guard: sim.Guard) -> sim.Outcomes:
        return sim.both_sides(market, starts, leverage=leverage, guard=guard, minutes=minutes)

    alone = run(sim.UNGUARDED)
    at_entry: dict[float, sim.Outcomes] = {}
    rows: dict[str, list[int]] = {}
    for name, guard, limit in week_guards(leverage) if is_week else guards(leverage):
        if only is not None and name not in only:
            continue
        peer = None
        if limit is not None:
            if limit not in at_entry:
                at_entry[limit] = run(sim.Guard(stop_share=None, at_entry=limit))
            peer = at_entry[limit]
        rows[name] = list(tally(run(guard), alone=alone, at_entry=peer, starts=starts).row())
    found = tally(alone, alone=alone, at_entry=None, starts=starts)
    return {
        "nights": 2 * len(starts),
        "died_unguarded": int(alone.liquidated.sum()),
        "mean_bp": found.mean_bp,
        "worst_bp": found.worst_bp,
        "rules": rows,
    }


def _job(job: tuple[Path, int, bool]) -> dict[str, Any]:
    path, leverage, is_week = job
    return count_leverage(sim.load_minutes(path), leverage, is_week=is_week)


def count_all(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the figures of nights and of weeks by leverage; a process for each core counts."""
    jobs = [(path, leverage, False) for leverage in LEVERAGES] + [(path, leverage, True) for leverage in WEEK_LEVERAGES]
    nights: dict[str, Any] = {}
    weeks: dict[str, Any] = {}
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for (_, leverage, is_week), counts in zip(jobs, pool.map(_job, jobs), strict=True):
            (weeks if is_week else nights)[str(leverage)] = counts
            print(
                f"{leverage}x, {'weeks' if is_week else 'nights'}: {counts['died_unguarded']} of {counts['nights']} die"
            )
    return nights, weeks


def evidence(path: Path) -> dict[str, Any]:
    """Return the whole content of the file."""
    market = sim.load_minutes(path)
    nights, weeks = count_all(path)
    return {
        "made_by": "tools/make_nights.py",
        "source": {
            "what": "BTC/USD one-minute candles, Bitfinex, 2018-01-01 to 2018-12-31 UTC",
            "from": "public data set Zombie-3000/Bitfinex-historical-data, columns reordered",
            "file": path.name,
            "sha256": market.sha256,
            "rows": market.rows,
        },
        "model": {
            "night_minutes": sim.NIGHT_MINUTES,
            "starts": "every full hour (weeks: every second), one long and one short, at the open",
            "refill_share": 1.0,
            "stop_share": sim.STOP_SHARE,
            "fee_rate_per_side": sim.FEE_RATE,
            "funding_rate_per_8_h": sim.FUNDING_RATE,
            "stop_slippage": sim.STOP_SLIPPAGE,
            "guard": "acts at its mark inside the minute (late: on the close of the minute); no limit on the number",
        },
        "nights": nights["25"]["nights"],
        "columns": list(Tally.__annotations__),
        "rules_are": "top-up mark in percent of full room / limit in percent of the entry margin; others by name",
        "leverages": nights,
        "weeks": weeks,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("candles", type=Path, nargs="?")
    candles = parser.parse_args().candles
    if candles is not None:
        TARGET.write_text(_dump(evidence(candles)), encoding="utf-8")
        print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")
    figures = json.loads(TARGET.read_text(encoding="utf-8"))
    GUIDE.write_text(page(GUIDE.read_text(encoding="utf-8"), figures), encoding="utf-8")


def _dump(found: dict[str, Any]) -> str:
    """Return JSON with one rule a line, so that a change of one figure is a change of one line."""
    text = json.dumps({**found, "leverages": {}, "weeks": {}}, indent=1, ensure_ascii=False)
    for part in ("leverages", "weeks"):
        blocks = []
        for leverage, counts in found[part].items():
            rules = ",\n".join(
                f"    {json.dumps(key)}: {json.dumps(row, separators=(',', ':'))}"
                for key, row in counts["rules"].items()
            )
            others = "".join(f"   {json.dumps(key)}: {counts[key]},\n" for key in counts if key != "rules")
            blocks.append(f'  "{leverage}": {{\n{others}   "rules": {{\n{rules}\n   }}\n  }}')
        text = text.replace(f'"{part}": {{}}', f'"{part}": {{\n' + ",\n".join(blocks) + "\n }")
    return text + "\n"


if __name__ == "__main__":
    main()

"""Make the counts behind the preset card: src/axisor/features/lab/nights_2018.json.

    PYTHONPATH=src python tools/make_nights.py ../shared/data/btcusd-1m-2018.csv.gz

The candles stay where they are; only counts, and what they were made from, enter the repository.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Final

from axisor.domain.trades import PositionSide
from axisor.features.lab import simulate as sim

TARGET: Final = Path(__file__).parents[1] / "src/axisor/features/lab/nights_2018.json"
LEVERAGES: Final = (5, 10, 15, 20, 25, 30, 40, 50)
TOP_UP_PERCENTS: Final = (25, 30, 35, 40, 45, 50, 55, 60, 65, 70)
LIMIT_PERCENTS: Final = (50, 100, 150, 200, 300)
REFILL_SHARE: Final = 1.0


def count_all(market: sim.Minutes) -> dict[str, Any]:
    """Return, for each leverage, what died unguarded and the four counts of each rule."""
    starts = market.hourly_starts(minutes=sim.NIGHT_MINUTES)
    counts: dict[str, Any] = {}
    for leverage in LEVERAGES:
        alone = [
            sim.simulate(market, starts, side=side, leverage=leverage, guard=sim.UNGUARDED) for side in PositionSide
        ]
        rules: dict[str, list[int]] = {}
        died = 0
        for share in TOP_UP_PERCENTS:
            for limit in LIMIT_PERCENTS:
                guard = sim.Guard(top_up_share=share / 100, limit=limit / 100, refill_share=REFILL_SHARE)
                guarded = [
                    sim.simulate(market, starts, side=side, leverage=leverage, guard=guard) for side in PositionSide
                ]
                found = sim.sum_counts(list(zip(alone, guarded, strict=True)))
                died = found.died_unguarded
                rules[f"{share}/{limit}"] = [found.acted, found.saved, found.better, found.worse]
        counts[str(leverage)] = {"died_unguarded": died, "rules": rules}
        print(f"{leverage}x: {died} of {2 * len(starts)} nights would have died")
    return counts


def evidence(market: sim.Minutes, *, file_name: str) -> dict[str, Any]:
    """Return the whole content of the file."""
    return {
        "made_by": "tools/make_nights.py",
        "source": {
            "what": "BTC/USD one-minute candles, Bitfinex, 2018-01-01 to 2018-12-31 UTC",
            "from": "public data set Zombie-3000/Bitfinex-historical-data, columns reordered",
            "file": file_name,
            "sha256": market.sha256,
            "rows": market.rows,
        },
        "model": {
            "night_minutes": sim.NIGHT_MINUTES,
            "starts": "every full hour, one long and one short, at the open",
            "refill_share": REFILL_SHARE,
            "stop_share": sim.STOP_SHARE,
            "fee_rate_per_side": sim.FEE_RATE,
            "funding_rate_per_8_h": sim.FUNDING_RATE,
            "stop_slippage": sim.STOP_SLIPPAGE,
            "guard": "acts at its mark inside the minute; no limit on the number of top-ups",
        },
        "nights": 2 * len(market.hourly_starts(minutes=sim.NIGHT_MINUTES)),
        "columns": ["acted", "saved", "better_than_liquidation", "worse_than_liquidation"],
        "rules_are": "top-up mark in percent of full room / limit in percent of the entry margin",
        "leverages": count_all(market),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("candles", type=Path)
    candles = parser.parse_args().candles
    found = evidence(sim.load_minutes(candles), file_name=candles.name)
    TARGET.write_text(_dump(found), encoding="utf-8")
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")


def _dump(found: dict[str, Any]) -> str:
    """Return JSON with one rule a line, so that a change of one count is a change of one line."""
    text = json.dumps({**found, "leverages": {}}, indent=1, ensure_ascii=False)
    blocks = []
    for leverage, counts in found["leverages"].items():
        rules = ",\n".join(f"    {json.dumps(key)}: {json.dumps(row)}" for key, row in counts["rules"].items())
        died = f'   "died_unguarded": {counts["died_unguarded"]},\n'
        blocks.append(f'  "{leverage}": {{\n{died}   "rules": {{\n{rules}\n   }}\n  }}')
    return text.replace('"leverages": {}', '"leverages": {\n' + ",\n".join(blocks) + "\n }") + "\n"


if __name__ == "__main__":
    main()

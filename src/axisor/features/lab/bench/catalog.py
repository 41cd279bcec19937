"""Every benchmark by name, and the gate that a change must pass."""

from collections.abc import Mapping
from typing import Final

from axisor.features.lab.bench.crash import CRASH_BENCH
from axisor.features.lab.bench.funding import FUNDING
from axisor.features.lab.bench.measure import Bench, Result
from axisor.features.lab.bench.rekey import REKEY
from axisor.features.lab.bench.ticks import TICK, TRAIL

BENCHES: Final[Mapping[str, Bench]] = {bench.name: bench for bench in (TICK, REKEY, CRASH_BENCH, TRAIL, FUNDING)}

GATE: Final = 0.5
"""A ratio may fall to half of the committed one: machines differ, and neighbours are loud."""


def ratios(result: Result) -> dict[str, float]:
    """Return a result's ratios by peer, rounded as they are committed."""
    return {peer.name: round(peer.ratio, 1) for peer in result.peers}


def too_slow(result: Result, baseline: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return a sentence for each ratio below half of the committed one; a peer that is not there yet passes."""
    committed = baseline.get(result.name, {})
    return [
        f"{result.name}: {peer.ratio:.1f}x {peer.name}, at least {GATE * committed[peer.name]:.1f}x wanted"
        for peer in result.peers
        if peer.name in committed and peer.ratio < GATE * committed[peer.name]
    ]

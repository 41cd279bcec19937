"""The leaderboard on the wire."""

from collections.abc import Mapping, Sequence
from typing import Any

from axisor.paper.engine.leaderboard import Rank
from axisor.paper.records import Window


def leaderboard(ranks: Mapping[Window, Sequence[Rank]]) -> dict[str, Any]:
    return {str(window): [_rank(rank) for rank in best] for window, best in ranks.items()}


def _rank(rank: Rank) -> dict[str, Any]:
    direction = (rank.pnl_sats > 0) - (rank.pnl_sats < 0)
    return {"username": rank.username, "pl": rank.pnl_sats, "direction": direction}

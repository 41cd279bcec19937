"""SQL of bars."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.trades import Candle
from axisor.domain.units import Price
from axisor.features.market_data.bars import Bar
from axisor.ports.credentials import Network

_FROM_ROWS: Final = """
    insert into candle (network, interval_s, at, open, high, low, close, volume)
    select cast(:network as text), *
    from unnest(cast(:intervals as int[]), cast(:ats as timestamptz[]), cast(:opens as int[]), cast(:highs as int[]),
                cast(:lows as int[]), cast(:closes as int[]), cast(:volumes as numeric[]))
    on conflict (network, interval_s, at) do update set
"""

# A recorder that restarts inside a bar adds to what its predecessor saw of it.
_MERGE: Final = text(
    _FROM_ROWS
    + "high = greatest(candle.high, excluded.high), low = least(candle.low, excluded.low), close = excluded.close"
)

# The exchange's own bar of a finished minute is complete, ours may have gaps.
_OVERWRITE: Final = text(
    _FROM_ROWS
    + "open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume"
)

_LIST: Final = text(
    """
    with stored as (
        select at, open, high, low, close from candle
        where network = :network and interval_s = :stored_s
          and at < date_bin(make_interval(secs => :interval_s), cast(:before as timestamptz), 'epoch')
        order by at desc limit :rows
    )
    select date_bin(make_interval(secs => :interval_s), at, 'epoch') as bin,
           (array_agg(open order by at))[1] as open, max(high) as high, min(low) as low,
           (array_agg(close order by at desc))[1] as close
    from stored group by bin order by bin desc limit :bins
    """
)


async def merge_bars(connection: AsyncConnection, network: Network, bars: Sequence[Bar]) -> None:
    """Store bars as they grow: stored highs and lows stay, the close is replaced."""
    await connection.execute(
        _MERGE,
        _columns(network, [(bar.interval_s, bar.at, bar.open, bar.high, bar.low, bar.close, 0) for bar in bars]),
    )


async def overwrite_bars(
    connection: AsyncConnection, network: Network, interval_s: int, candles: Sequence[Candle]
) -> None:
    """Store finished bars as the exchange states them."""
    rows = [(interval_s, each.at, each.open, each.high, each.low, each.close, each.volume) for each in candles]
    await connection.execute(_OVERWRITE, _columns(network, rows))


async def list_bars(
    connection: AsyncConnection, network: Network, *, interval_s: int, stored_s: int, before: datetime, limit: int
) -> list[Bar]:
    """Return up to `limit` bars that start before an instant, newest first, built of stored ones of `stored_s`.

    `before` counts from the start of its own bar, so that no bar is cut.
    """
    ratio = interval_s // stored_s
    rows = await connection.execute(
        _LIST,
        {
            "network": network.value,
            "stored_s": stored_s,
            "interval_s": interval_s,
            "before": before,
            # One bar more than asked for: the oldest may be cut by the limit and is then left out by `limit`.
            "rows": (limit + 1) * ratio,
            "bins": limit,
        },
    )
    return [
        Bar(
            interval_s=interval_s,
            at=row.bin,
            open=Price(row.open),
            high=Price(row.high),
            low=Price(row.low),
            close=Price(row.close),
        )
        for row in rows
    ]


async def list_bars_between(
    connection: AsyncConnection, network: Network, *, interval_s: int, since: datetime, until: datetime
) -> list[Bar]:
    """Return the stored bars of one length from that of `since` to the last that ended by `until`, oldest first."""
    rows = await connection.execute(
        text(
            "select at, open, high, low, close from candle where network = :network and interval_s = :interval_s "
            "and at >= date_bin(make_interval(secs => :interval_s), cast(:since as timestamptz), 'epoch') "
            "and at <= cast(:until as timestamptz) - make_interval(secs => :interval_s) order by at"
        ),
        {"network": network.value, "interval_s": interval_s, "since": since, "until": until},
    )
    return [
        Bar(
            interval_s=interval_s,
            at=row.at,
            open=Price(row.open),
            high=Price(row.high),
            low=Price(row.low),
            close=Price(row.close),
        )
        for row in rows
    ]


async def delete_bars(connection: AsyncConnection, *, interval_s: int, before: datetime) -> int:
    """Forget the bars of one length that are older than an instant; return how many."""
    result = await connection.execute(
        text("delete from candle where interval_s = :interval_s and at < :before"),
        {"interval_s": interval_s, "before": before},
    )
    return result.rowcount


def _columns(network: Network, rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    names = ("intervals", "ats", "opens", "highs", "lows", "closes", "volumes")
    return {"network": network.value, **{name: [row[place] for row in rows] for place, name in enumerate(names)}}

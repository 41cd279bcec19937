"""The keys under which a rule's steps cause attempts: which step of which trade, and which part of the deed.

A top-up or a close of the trade itself is caused by `step#arming`. What is done elsewhere for a trade (another trade's
profit, a swap, a payment, another trade closed) names that trade, the part and, where the same part may be needed
again for the same arming, a number of its own: `step#arming@trade/part=sats:number`.
"""

import re
from dataclasses import dataclass
from typing import Final

from axisor.domain.units import TradeId

_KEY: Final = re.compile(
    r"(?P<rung>.*)#(?P<arming>\d+)(?:@(?P<trade>[0-9a-f-]{36})/(?P<part>[a-z_]+)(?:=(?P<sats>\d+))?(?::.*)?)?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCause:
    """A step that caused an attempt. `for_trade_id` is None where the attempt is on the step's own trade."""

    rung: str
    arming_no: int
    for_trade_id: TradeId | None = None
    part: str | None = None
    sats: int = 0


def step_key(rung: str, arming_no: int) -> str:
    """Return the key of a deed on the step's own trade."""
    return f"{rung}#{arming_no}"


def part_key(
    rung: str, arming_no: int, *, for_trade_id: TradeId, part: str, sats: int = 0, number: str | None = None
) -> str:
    """Return the key of what is done elsewhere for a trade; `sats` is what it should bring.

    >>> part_key("top_up", 2, for_trade_id=TradeId("018f0000-0000-7000-8000-000000000000"), part="swap", sats=5000)
    'top_up#2@018f0000-0000-7000-8000-000000000000/swap=5000'
    """
    amount = f"={sats}" if sats else ""
    serial = "" if number is None else f":{number}"
    return f"{rung}#{arming_no}@{for_trade_id}/{part}{amount}{serial}"


def read_key(key: str) -> StepCause | None:
    """Return the step behind a key, None where no step is.

    >>> read_key("top_up#2").arming_no
    2
    >>> read_key("take_back:018f") is None
    True
    """
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    trade, sats = found["trade"], found["sats"]
    return StepCause(
        rung=found["rung"],
        arming_no=int(found["arming"]),
        for_trade_id=None if trade is None else TradeId(trade),
        part=found["part"],
        sats=0 if sats is None else int(sats),
    )

"""The markets that can be asked for by name, each in one line. Read by the command line: imports nothing heavy."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

STORIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "crash": "A long at 25x would be liquidated within a minute; then the market turns.",
        "squeeze": "A short at 25x would be liquidated within a minute; then the market turns.",
        "flash": "A fall of 8 to 15 % in under two minutes; most of it comes back within ten.",
        "chop": "Up and down by as much as 1.2 %, going nowhere.",
        "bleed": "A slow fall of 9 % in stairs that does not come back: here a guard costs money.",
        "gap": "Jumps of several percent, down and up: levels are passed, not touched.",
        "outage": "The exchange is away for 90 s, 30 s and 4 min while the price moves on.",
        "bull": "A day's rise of about 11 %, with pullbacks that last for hours.",
        "bear": "A day's fall of about 11 %, with rallies that last for hours.",
        "calm": "A quiet market that stays within 0.3 %.",
    }
)
"""Every line ends with a full stop and fits into the help of a terminal of 100 columns."""

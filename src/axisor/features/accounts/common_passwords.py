"""Passwords that everybody tries first, known without asking anybody: a filter of 30,000 hash prefixes.

The file holds sorted 5-byte prefixes of SHA-256. A password that is not in the list is taken for a member with a
chance of 30,000 / 2^40, about 1 in 37 million for each of the spellings that are looked up.
"""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("common_passwords.bin")
PREFIX_BYTES: Final = 5
_MOST_PADDING: Final = 8
_ENDS = re.compile(r"^[\W\d_]*(.*?)[\W\d_]*$", re.DOTALL)
_LEAST_DIFFERENT: Final = 5
_RUNS: Final = tuple(
    run
    for row in ("1234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm")
    for run in (row * 3, row[::-1] * 3)
)
_LOOKALIKES: Final = str.maketrans("@430!1$57", "aaeoiisst")


def prefix_of(word: str) -> bytes:
    """Return what is stored of a word."""
    return hashlib.sha256(word.encode()).digest()[:PREFIX_BYTES]


def is_common(password: str, *, own_words: tuple[str, ...] = ()) -> bool:
    """Return whether a password is a common one, one repeated, or one with at most 8 digits or signs at its ends.

    A run along the keyboard and fewer than five different characters are common too.
    `own_words` (the address, the name) count as common.
    """
    folded = password.casefold()
    own = {word.casefold() for whole in own_words for word in (whole, *re.split(r"[@.\s]+", whole)) if len(word) > 3}
    if len(set(folded)) < _LEAST_DIFFERENT or any(folded in run for run in _RUNS):
        return True
    return any(spelling in own or _is_listed(spelling) for spelling in _spellings(folded))


def _spellings(folded: str) -> set[str]:
    spellings = {folded, folded.translate(_LOOKALIKES)}
    for word in tuple(spellings):
        ends = _ENDS.match(word)
        core = word if ends is None else ends[1]
        if core and len(word) - len(core) <= _MOST_PADDING:
            spellings.add(core)
    return spellings | {_period(word) for word in spellings}


def _period(word: str) -> str:
    """Return the shortest word whose repetition is `word`."""
    length = (word + word).find(word, 1)
    return word[:length] if length > 0 else word


def _is_listed(word: str) -> bool:
    return prefix_of(word) in _prefixes()


@cache
def _prefixes() -> frozenset[bytes]:
    raw = FILE.read_bytes()
    return frozenset(raw[at : at + PREFIX_BYTES] for at in range(0, len(raw), PREFIX_BYTES))

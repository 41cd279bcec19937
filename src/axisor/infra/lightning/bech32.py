"""Bech32 (BIP 173) and bech32m (BIP 350): text with a checksum over groups of 5 bits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from axisor.domain.errors import DomainError

_CHARSET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES: Final = {character: value for value, character in enumerate(_CHARSET)}
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_LENGTH: Final = 6


class InvalidBech32(DomainError):
    """The text is no bech32; the message says what is wrong with it."""

    code = "invalid_bech32"


class Checksum(IntEnum):
    """The constant that the checksum leaves behind tells the two encodings apart."""

    BECH32 = 1
    BECH32M = 0x2BC830A3


@dataclass(frozen=True, slots=True, kw_only=True)
class Bech32:
    """The parts of a text: a prefix in lower case, and groups of 5 bits without the checksum."""

    prefix: str
    groups: tuple[int, ...]
    checksum: Checksum


def encode(prefix: str, groups: Sequence[int], checksum: Checksum) -> str:
    """Return the text of a prefix and groups of 5 bits, in lower case.

    >>> encode("a", [], Checksum.BECH32)
    'a12uel5l'
    """
    polymod = _polymod((*_expand(prefix), *groups, *(0,) * _CHECKSUM_LENGTH)) ^ checksum
    tail = [polymod >> 5 * (5 - index) & 31 for index in range(_CHECKSUM_LENGTH)]
    return f"{prefix}1{''.join(_CHARSET[group] for group in (*groups, *tail))}"


def decode(text: str, *, max_length: int = 90) -> Bech32:
    """Return the parts of a text whose checksum is right.

    Raises:
        InvalidBech32: too long, mixed case, a character that does not belong there, no separator, a wrong checksum.
    """
    if len(text) > max_length:
        raise InvalidBech32(f"longer than {max_length} characters")
    if any(not 33 <= ord(character) <= 126 for character in text):
        raise InvalidBech32("a character that is not printable ASCII")
    if text != text.lower() and text != text.upper():
        raise InvalidBech32("upper and lower case are mixed")
    prefix, separator, data = text.lower().rpartition("1")
    if not separator or not prefix:
        raise InvalidBech32("no separator 1 after a prefix")
    if len(data) < _CHECKSUM_LENGTH:
        raise InvalidBech32("too short for a checksum")
    if foreign := next((character for character in data if character not in _VALUES), None):
        raise InvalidBech32(f"the character {foreign!r} is not one of bech32")
    groups = [_VALUES[character] for character in data]
    remainder = _polymod((*_expand(prefix), *groups))
    if remainder not in {Checksum.BECH32, Checksum.BECH32M}:
        raise InvalidBech32("the checksum is wrong")
    return Bech32(prefix=prefix, groups=tuple(groups[:-_CHECKSUM_LENGTH]), checksum=Checksum(remainder))


def groups_of(content: bytes) -> list[int]:
    """Return the groups of 5 bits that hold `content`, the last one filled up with zeros.

    >>> groups_of(bytes([255]))
    [31, 28]
    """
    length = -(-len(content) * 8 // 5)
    bits = int.from_bytes(content) << length * 5 - len(content) * 8
    return number_groups(bits, length=length)


def number_groups(number: int, *, length: int) -> list[int]:
    """Return a number as `length` groups, the highest first."""
    return [number >> 5 * index & 31 for index in reversed(range(length))]


def number_of(groups: Iterable[int]) -> int:
    """Return the number that groups of 5 bits write, the highest first."""
    number = 0
    for group in groups:
        number = number << 5 | group
    return number


def bytes_of(groups: Sequence[int]) -> bytes:
    """Return the whole bytes in groups of 5 bits.

    Raises:
        InvalidBech32: more than 4 bits are left over, or they are not zero.
    """
    length, left_over = divmod(len(groups) * 5, 8)
    number = number_of(groups)
    if left_over > 4:
        raise InvalidBech32("more padding than needed")
    if number & (1 << left_over) - 1:
        raise InvalidBech32("the padding is not zero")
    return (number >> left_over).to_bytes(length)


def _expand(prefix: str) -> tuple[int, ...]:
    return (*(ord(character) >> 5 for character in prefix), 0, *(ord(character) & 31 for character in prefix))


def _polymod(values: Iterable[int]) -> int:
    remainder = 1
    for value in values:
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                remainder ^= generator
    return remainder

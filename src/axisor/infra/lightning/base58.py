"""Base58check: the text form of Bitcoin's older addresses, with a checksum of 4 bytes."""

import hashlib
from typing import Final

from axisor.domain.errors import DomainError

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}
_MAX_LENGTH: Final = 120
"""Far above any address: the conversion takes time by the square of the length."""


class InvalidBase58(DomainError):
    """The text is no base58check; the message says what is wrong with it."""

    code = "invalid_base58"


def encode(content: bytes) -> str:
    """Return the text of some bytes and their checksum.

    >>> encode(bytes([0]) + bytes(20))
    '1111111111111111111114oLvT2'
    """
    whole = content + _checksum(content)
    number, text = int.from_bytes(whole), ""
    while number:
        number, value = divmod(number, 58)
        text = _ALPHABET[value] + text
    return "1" * (len(whole) - len(whole.lstrip(b"\0"))) + text


def decode(text: str) -> bytes:
    """Return the bytes of a text whose checksum is right.

    Raises:
        InvalidBase58: too long, a foreign character, or a wrong checksum.
    """
    if len(text) > _MAX_LENGTH:
        raise InvalidBase58(f"longer than {_MAX_LENGTH} characters")
    number = 0
    for character in text:
        if character not in _VALUES:
            raise InvalidBase58(f"the character {character!r} does not belong there")
        number = number * 58 + _VALUES[character]
    zeros = len(text) - len(text.lstrip("1"))
    whole = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)
    content, checksum = whole[:-4], whole[-4:]
    if len(whole) < 4 or checksum != _checksum(content):
        raise InvalidBase58("the checksum is wrong")
    return content


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(content).digest()).digest()[:4]

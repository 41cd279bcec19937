"""BOLT 11 invoices: the text by which a Lightning node asks to be paid.

Follows the specification as of 2026: exactly one `p` and one `s`, either `d` or `h`, fields of fixed length with that
length, and no required feature that we do not know; anything else is refused, naming what is wrong.

    ln + network + amount + "1" + timestamp (7 groups of 5 bits) + tagged fields + signature (104 groups) + checksum
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from axisor.domain.errors import DomainError
from axisor.infra.lightning import bech32
from axisor.infra.lightning.address import (
    InvalidAddress,
    pubkey_hash_address,
    script_hash_address,
    segwit_address,
)
from axisor.infra.lightning.bech32 import Checksum, InvalidBech32
from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.infra.lightning.secp256k1 import InvalidSignature, SecretKey, Signature, is_public_key, recover, verify

MSATS_PER_SAT: Final = 1_000
DEFAULT_EXPIRY_S: Final = 3_600
DEFAULT_MIN_FINAL_CLTV: Final = 18
MAX_DESCRIPTION_BYTES: Final = 639
"""1,023 groups of 5 bits: what the length field of a tagged field can say."""

_MAX_INVOICE_LENGTH: Final = 7_089
"""The longest text that fits a QR code; BOLT 11 itself sets no bound."""
_MAX_GROUPS: Final = 1_023
_TIMESTAMP_GROUPS: Final = 7
_SIGNATURE_GROUPS: Final = 104
_MAX_EXPIRY_S: Final = 10 * 365 * 86_400
"""Ten years: an end that every calendar can write."""

_TAGS: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_FIXED_LENGTHS: Final = {"p": 52, "s": 52, "h": 52, "n": 53}
_ONCE: Final = frozenset("psdhnxc9m")
_NUMBERS: Final = frozenset("xc9")
_INTERPRETED: Final = frozenset("psdhnxc9")

_MSATS_PER_BTC: Final = 100_000_000_000
_MULTIPLIERS: Final = {"": _MSATS_PER_BTC, "m": 100_000_000, "u": 100_000, "n": 100}
_PICO: Final = "p"

_FEATURE_VAR_ONION: Final = 8
_FEATURE_PAYMENT_SECRET: Final = 14
_KNOWN_FEATURES: Final = frozenset({_FEATURE_VAR_ONION, _FEATURE_PAYMENT_SECRET, 16, 24, 36, 48})
"""What BOLT 9 assigns to invoices (besides the two: multi-part payments, blinded routes, attribution, metadata)."""
BASIC_FEATURES: Final = frozenset({_FEATURE_VAR_ONION, _FEATURE_PAYMENT_SECRET})
"""What every modern invoice asks of its payer."""


class InvalidInvoice(DomainError):
    """The text is no invoice that may be paid; the message says what is wrong with it."""

    code = "invalid_invoice"


@dataclass(frozen=True, slots=True)
class TaggedField:
    """A field as it is written: fallback addresses, routing hints, metadata and those that nobody knows yet."""

    tag: str
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """What an invoice says. One of `description` and `description_hash` is there."""

    network: BitcoinNetwork
    amount_msat: int | None
    """None: the payer chooses."""
    timestamp: int
    """Seconds since 1970."""
    payment_hash: bytes
    payment_secret: bytes = field(repr=False)
    payee: bytes
    """The public key of the node that is paid."""
    description: str | None = None
    description_hash: bytes | None = None
    expiry_s: int = DEFAULT_EXPIRY_S
    min_final_cltv: int = DEFAULT_MIN_FINAL_CLTV
    features: frozenset[int] = BASIC_FEATURES
    other_fields: tuple[TaggedField, ...] = ()

    @property
    def created_at(self) -> datetime:
        return datetime.fromtimestamp(self.timestamp, tz=UTC)

    @property
    def expires_at(self) -> datetime:
        """Return when it ends; one that says more than ten years ends after ten."""
        return self.created_at + timedelta(seconds=min(self.expiry_s, _MAX_EXPIRY_S))

    def is_expired(self, now: datetime) -> bool:
        return now >= self.expires_at

    @property
    def fallback_addresses(self) -> tuple[str, ...]:
        """Return the on-chain addresses that may be paid instead, the preferred one first."""
        found = (_fallback_address(each.groups, self.network) for each in self.other_fields if each.tag == "f")
        return tuple(address for address in found if address is not None)


def encode_invoice(
    *,
    key: SecretKey,
    network: BitcoinNetwork,
    amount_msat: int | None,
    timestamp: int,
    payment_hash: bytes,
    payment_secret: bytes,
    description: str | None = None,
    description_hash: bytes | None = None,
    expiry_s: int = DEFAULT_EXPIRY_S,
    min_final_cltv: int = DEFAULT_MIN_FINAL_CLTV,
    features: frozenset[int] = BASIC_FEATURES,
    other_fields: Sequence[TaggedField] = (),
) -> str:
    """Return the text of an invoice, signed by `key`.

    Raises:
        InvalidInvoice: what it should say cannot be written.
    """
    if (description is None) == (description_hash is None):
        raise InvalidInvoice("an invoice has either a description or the hash of one")
    if not 0 <= timestamp < 1 << 5 * _TIMESTAMP_GROUPS:
        raise InvalidInvoice("the timestamp does not fit 35 bits")
    prefix = network.invoice_prefix + _amount_text(amount_msat)
    groups = bech32.number_groups(timestamp, length=_TIMESTAMP_GROUPS)
    groups += _hash_field("p", payment_hash) + _hash_field("s", payment_secret)
    if description_hash is not None:
        groups += _hash_field("h", description_hash)
    if description is not None:
        groups += _field("d", bech32.groups_of(description.encode()))
    if expiry_s != DEFAULT_EXPIRY_S:
        groups += _number_field("x", expiry_s)
    groups += _number_field("c", min_final_cltv)
    for other in other_fields:
        if other.tag in _INTERPRETED:
            raise InvalidInvoice(f"the field {other.tag} has an argument of its own")
        groups += _field(other.tag, other.groups)
    if features:
        groups += _number_field("9", sum(1 << bit for bit in features))
    signature = bech32.groups_of(bytes(key.sign(_digest(prefix, groups))))
    return bech32.encode(prefix, [*groups, *signature], Checksum.BECH32)


def decode_invoice(text: str) -> Invoice:
    """Return what an invoice says; its signature is verified.

    Raises:
        InvalidInvoice: saying what is wrong with it.
    """
    try:
        parts = bech32.decode(text, max_length=_MAX_INVOICE_LENGTH)
    except InvalidBech32 as error:
        raise InvalidInvoice(error.message) from error
    if parts.checksum is not Checksum.BECH32:
        raise InvalidInvoice("the checksum is that of bech32m")
    network, amount = _parse_prefix(parts.prefix)
    if len(parts.groups) < _TIMESTAMP_GROUPS + _SIGNATURE_GROUPS:
        raise InvalidInvoice("too short for a timestamp and a signature")
    signed, signature = parts.groups[:-_SIGNATURE_GROUPS], parts.groups[-_SIGNATURE_GROUPS:]
    fields = _parse_fields(signed[_TIMESTAMP_GROUPS:])
    known = _known_fields(fields)
    features = _features_of(known.get("9"))
    if ("d" in known) == ("h" in known):
        raise InvalidInvoice("not exactly one of a description (d) and its hash (h)")
    invoice = Invoice(
        network=network,
        amount_msat=amount,
        timestamp=bech32.number_of(signed[:_TIMESTAMP_GROUPS]),
        payment_hash=_bytes_of("p", known),
        payment_secret=_bytes_of("s", known),
        payee=_payee(_digest(parts.prefix, signed), _signature(signature), known),
        description=_text_of("d", known) if "d" in known else None,
        description_hash=_bytes_of("h", known) if "h" in known else None,
        expiry_s=bech32.number_of(known["x"]) if "x" in known else DEFAULT_EXPIRY_S,
        min_final_cltv=bech32.number_of(known["c"]) if "c" in known else DEFAULT_MIN_FINAL_CLTV,
        features=features,
        other_fields=tuple(each for each in fields if each.tag not in _INTERPRETED),
    )
    _check_fallbacks(invoice)
    return invoice


# Amount


def _amount_text(amount_msat: int | None) -> str:
    """Return the shortest way to write an amount."""
    if amount_msat is None:
        return ""
    if amount_msat <= 0:
        raise InvalidInvoice("the amount must be positive")
    for letter, msats in _MULTIPLIERS.items():
        if amount_msat % msats == 0:
            return f"{amount_msat // msats}{letter}"
    return f"{amount_msat * 10}{_PICO}"


def _parse_prefix(prefix: str) -> tuple[BitcoinNetwork, int | None]:
    candidates = sorted(BitcoinNetwork, key=lambda network: -len(network.invoice_prefix))
    network = next((each for each in candidates if _is_prefix_of(each.invoice_prefix, prefix)), None)
    if network is None:
        raise InvalidInvoice(f"the prefix {prefix!r} is that of no known network")
    return network, _amount_msat(prefix.removeprefix(network.invoice_prefix))


def _is_prefix_of(start: str, prefix: str) -> bool:
    rest = prefix.removeprefix(start)
    return prefix.startswith(start) and (not rest or rest[0].isdigit())


def _amount_msat(text: str) -> int | None:
    if not text:
        return None
    digits, multiplier = (text[:-1], text[-1]) if text[-1].isalpha() else (text, "")
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidInvoice(f"the amount {text!r} is no number")
    if digits[0] == "0":
        raise InvalidInvoice(f"the amount {text!r} begins with a zero")
    if multiplier == _PICO:
        if digits[-1] != "0":
            raise InvalidInvoice("the amount is more precise than a millisat")
        return int(digits) // 10
    if multiplier not in _MULTIPLIERS:
        raise InvalidInvoice(f"the multiplier {multiplier!r} of the amount is unknown")
    return int(digits) * _MULTIPLIERS[multiplier]


# Fields


def _field(tag: str, groups: Sequence[int]) -> list[int]:
    if len(groups) > _MAX_GROUPS:
        raise InvalidInvoice(f"the field {tag} is too long: {MAX_DESCRIPTION_BYTES} bytes fit")
    return [_TAGS.index(tag), *bech32.number_groups(len(groups), length=2), *groups]


def _hash_field(tag: str, content: bytes) -> list[int]:
    if len(content) != 32:
        raise InvalidInvoice(f"the field {tag} has 32 bytes")
    return _field(tag, bech32.groups_of(content))


def _number_field(tag: str, number: int) -> list[int]:
    if number < 0:
        raise InvalidInvoice(f"the field {tag} cannot be negative")
    return _field(tag, bech32.number_groups(number, length=max(1, -(-number.bit_length() // 5))))


def _parse_fields(groups: Sequence[int]) -> list[TaggedField]:
    fields, start = [], 0
    while start < len(groups):
        if start + 3 > len(groups):
            raise InvalidInvoice("a tagged field ends before its length")
        end = start + 3 + bech32.number_of(groups[start + 1 : start + 3])
        if end > len(groups):
            raise InvalidInvoice("a tagged field is longer than what is there")
        fields.append(TaggedField(_TAGS[groups[start]], tuple(groups[start + 3 : end])))
        start = end
    return fields


def _known_fields(fields: Iterable[TaggedField]) -> dict[str, tuple[int, ...]]:
    known: dict[str, tuple[int, ...]] = {}
    for each in fields:
        if each.tag in _ONCE and each.tag in known:
            raise InvalidInvoice(f"the field {each.tag} is there twice")
        if len(each.groups) != _FIXED_LENGTHS.get(each.tag, len(each.groups)):
            raise InvalidInvoice(f"the field {each.tag} has {len(each.groups)} groups")
        if each.tag in _NUMBERS and each.groups[:1] == (0,) and len(each.groups) > 1:
            raise InvalidInvoice(f"the field {each.tag} begins with zeros")
        known.setdefault(each.tag, each.groups)
    return known


def _bytes_of(tag: str, known: dict[str, tuple[int, ...]]) -> bytes:
    if tag not in known:
        raise InvalidInvoice(f"the field {tag} is missing")
    try:
        return bech32.bytes_of(known[tag])
    except InvalidBech32 as error:
        raise InvalidInvoice(f"the field {tag}: {error.message}") from error


def _text_of(tag: str, known: dict[str, tuple[int, ...]]) -> str:
    try:
        return _bytes_of(tag, known).decode()
    except UnicodeDecodeError as error:
        raise InvalidInvoice("the description is not UTF-8") from error


def _features_of(groups: tuple[int, ...] | None) -> frozenset[int]:
    vector = bech32.number_of(groups or ())
    features = frozenset(bit for bit in range(vector.bit_length()) if vector >> bit & 1)
    unknown = sorted(bit for bit in features if bit % 2 == 0 and bit not in _KNOWN_FEATURES)
    if unknown:
        raise InvalidInvoice(f"the payer must know feature {unknown[0]}, which is unknown")
    return features


# Signature


def _digest(prefix: str, groups: Sequence[int]) -> bytes:
    length = -(-len(groups) * 5 // 8)
    padded = bech32.number_of(groups) << length * 8 - len(groups) * 5
    return hashlib.sha256(prefix.encode() + padded.to_bytes(length)).digest()


def _signature(groups: Sequence[int]) -> Signature:
    try:
        return Signature.from_bytes(bech32.bytes_of(groups))
    except InvalidSignature as error:
        raise InvalidInvoice(error.message) from error


def _payee(digest: bytes, signature: Signature, known: dict[str, tuple[int, ...]]) -> bytes:
    """Return who signed: the named node, which must have, or whoever the signature leads back to."""
    try:
        if "n" not in known:
            return recover(digest, signature)
        named = _bytes_of("n", known)
        if not is_public_key(named):
            raise InvalidInvoice("the named node is no public key")
        verify(digest, signature, named)
    except InvalidSignature as error:
        raise InvalidInvoice(error.message) from error
    return named


# Fallback addresses

_PUBKEY_HASH: Final = 17
_SCRIPT_HASH: Final = 18
_MAX_WITNESS_VERSION: Final = 16


def _check_fallbacks(invoice: Invoice) -> None:
    try:
        _ = invoice.fallback_addresses
    except (InvalidAddress, InvalidBech32) as error:
        raise InvalidInvoice(f"the fallback address: {error.message}") from error


def _fallback_address(groups: tuple[int, ...], network: BitcoinNetwork) -> str | None:
    if not groups or groups[0] > _SCRIPT_HASH:
        return None
    version, content = groups[0], bech32.bytes_of(groups[1:])
    if version <= _MAX_WITNESS_VERSION:
        return segwit_address(version, content, network=network)
    if len(content) != 20:
        raise InvalidAddress(f"a hash has 20 bytes, not {len(content)}")
    make = pubkey_hash_address if version == _PUBKEY_HASH else script_hash_address
    return make(content, network=network)

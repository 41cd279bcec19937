"""Bitcoin addresses: made for a key, and judged for a network."""

import hashlib
from typing import Final

from axisor.domain.errors import DomainError
from axisor.infra.lightning import base58, bech32
from axisor.infra.lightning.bech32 import Checksum, InvalidBech32
from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.infra.lightning.secp256k1 import is_public_key, tweaked_public_key

_SEGWIT_PREFIXES: Final = frozenset(network.segwit_prefix for network in BitcoinNetwork)
_BASE58_VERSIONS: Final = frozenset(
    version for network in BitcoinNetwork for version in (network.pubkey_hash_version, network.script_hash_version)
)


class InvalidAddress(DomainError):
    """Nothing can be paid to this text on this network; the message says why."""

    code = "invalid_address"


def p2wpkh_address(public_key: bytes, *, network: BitcoinNetwork) -> str:
    """Return the segwit address that pays to a key's hash (BIP 141, version 0).

    >>> key = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    >>> p2wpkh_address(key, network=BitcoinNetwork.MAINNET)
    'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4'
    """
    return segwit_address(0, _hash160(public_key), network=network)


def p2tr_address(public_key: bytes, *, network: BitcoinNetwork) -> str:
    """Return the taproot address that is spent by this key alone (BIP 86, version 1).

    >>> key = bytes.fromhex("03cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115")
    >>> p2tr_address(key, network=BitcoinNetwork.MAINNET)
    'bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr'
    """
    return segwit_address(1, tweaked_public_key(public_key), network=network)


def segwit_address(version: int, program: bytes, *, network: BitcoinNetwork) -> str:
    """Return the address of a witness program.

    Raises:
        InvalidAddress: the program does not fit its version.
    """
    _check_program(version, program)
    checksum = Checksum.BECH32 if version == 0 else Checksum.BECH32M
    return bech32.encode(network.segwit_prefix, [version, *bech32.groups_of(program)], checksum)


def pubkey_hash_address(key_hash: bytes, *, network: BitcoinNetwork) -> str:
    """Return the base58check address of a key's 20-byte hash."""
    return base58.encode(bytes([network.pubkey_hash_version]) + key_hash)


def script_hash_address(script_hash: bytes, *, network: BitcoinNetwork) -> str:
    """Return the base58check address of a script's 20-byte hash."""
    return base58.encode(bytes([network.script_hash_version]) + script_hash)


def check_address(text: str, *, network: BitcoinNetwork) -> None:
    """Return when an address can be paid on a network: segwit of any version, P2PKH or P2SH.

    Raises:
        InvalidAddress: saying what is wrong with it.
    """
    if not text:
        raise InvalidAddress("the address is empty")
    prefix, separator, _ = text.lower().rpartition("1")
    if separator and prefix in _SEGWIT_PREFIXES:
        _check_segwit(text, network)
    else:
        _check_base58(text, network)


def _check_segwit(text: str, network: BitcoinNetwork) -> None:
    try:
        parts = bech32.decode(text)
        if not parts.groups:
            raise InvalidAddress("the address has no witness version")
        version, program = parts.groups[0], bech32.bytes_of(parts.groups[1:])
    except InvalidBech32 as error:
        raise InvalidAddress(f"the address is no segwit address: {error.message}") from error
    _check_program(version, program)
    if (parts.checksum is Checksum.BECH32) != (version == 0):
        raise InvalidAddress("the address has the checksum of another witness version")
    if parts.prefix != network.segwit_prefix:
        raise InvalidAddress(f"the address is not one of {network}: it begins with {parts.prefix}1")


def _check_program(version: int, program: bytes) -> None:
    if not 0 <= version <= 16:
        raise InvalidAddress(f"witness version {version} does not exist")
    if not 2 <= len(program) <= 40:
        raise InvalidAddress(f"a witness program has 2 to 40 bytes, not {len(program)}")
    if version == 0 and len(program) not in {20, 32}:
        raise InvalidAddress(f"a program of witness version 0 has 20 or 32 bytes, not {len(program)}")
    if version == 1 and len(program) == 32 and not _is_on_curve(program):
        raise InvalidAddress("the taproot key is no point of the curve")


def _check_base58(text: str, network: BitcoinNetwork) -> None:
    try:
        content = base58.decode(text)
    except base58.InvalidBase58 as error:
        raise InvalidAddress(f"the address is neither segwit nor base58: {error.message}") from error
    if len(content) != 21 or content[0] not in _BASE58_VERSIONS:
        raise InvalidAddress("the address is of no known kind")
    if content[0] not in {network.pubkey_hash_version, network.script_hash_version}:
        raise InvalidAddress(f"the address is not one of {network}")


def _is_on_curve(x: bytes) -> bool:
    return is_public_key(b"\x02" + x)


def _hash160(content: bytes) -> bytes:
    # OpenSSL has RIPEMD-160 in its default provider since 3.0.7, which every supported Python brings or exceeds.
    return hashlib.new("ripemd160", hashlib.sha256(content).digest(), usedforsecurity=False).digest()

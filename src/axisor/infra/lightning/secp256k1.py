"""Keys and recoverable signatures on the curve secp256k1.

Secret keys are used by `cryptography` alone. Recovering a public key needs no secret and is done in plain integers:
a few milliseconds, which an invoice read now and then can afford.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from axisor.domain.errors import DomainError

_P: Final = 2**256 - 2**32 - 977
_N: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_G: Final = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
_PREHASHED: Final = utils.Prehashed(hashes.SHA256())

type _Point = tuple[int, int] | None
"""Affine coordinates; None is the point at infinity."""
type _Jacobian = tuple[int, int, int]
_INFINITY: Final = (1, 1, 0)


class InvalidSignature(DomainError):
    """The signature was not made over this digest by any (or by this) key."""

    code = "invalid_signature"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature from which the signer's public key follows."""

    r: int
    s: int
    recovery_id: int
    """0-3: which of the possible points `r` came from."""

    def __bytes__(self) -> bytes:
        return self.r.to_bytes(32) + self.s.to_bytes(32) + bytes([self.recovery_id])

    @classmethod
    def from_bytes(cls, content: bytes) -> "Signature":
        """Return the signature that 65 bytes write: r, s, recovery id.

        Raises:
            InvalidSignature: another length, a number outside the group, or an unknown recovery id.
        """
        if len(content) != 65:
            raise InvalidSignature("a signature has 65 bytes")
        r, s, recovery_id = int.from_bytes(content[:32]), int.from_bytes(content[32:64]), content[64]
        if not 0 < r < _N or not 0 < s < _N:
            raise InvalidSignature("r or s of the signature is out of range")
        if recovery_id > 3:
            raise InvalidSignature(f"the recovery id {recovery_id} is not one of 0-3")
        return cls(r, s, recovery_id)

    @property
    def is_low_s(self) -> bool:
        """Whether `s` is the lower of the two that are valid: the only one that the network's nodes accept."""
        return self.s <= _N // 2


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A node's key."""

    number: int = field(repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.number < _N:
            raise ValueError("a secret key lies between 1 and the order of the curve")

    @classmethod
    def from_seed(cls, seed: bytes, *, label: str) -> "SecretKey":
        """Return the key with this label of a seed: the first HMAC-SHA256 in a counted row that is a valid key."""
        for counter in range(256):
            number = int.from_bytes(hmac.digest(seed, f"{label}/{counter}".encode(), hashlib.sha256))
            if 0 < number < _N:
                return cls(number)
        raise ValueError("no key in 256 hashes")  # pragma: no cover - less likely than 2^-32000

    def public_key(self) -> bytes:
        """Return the public key in its 33 bytes."""
        return _compressed(self._private().public_key())

    def sign(self, digest: bytes) -> Signature:
        """Return the deterministic signature (RFC 6979) of a SHA-256 digest, with the lower s."""
        private = self._private()
        r, s = utils.decode_dss_signature(private.sign(digest, ec.ECDSA(_PREHASHED, deterministic_signing=True)))
        signature_s = min(s, _N - s)
        own = _compressed(private.public_key())
        for recovery_id in range(4):
            signature = Signature(r, signature_s, recovery_id)
            try:
                if recover(digest, signature) == own:
                    return signature
            except InvalidSignature:
                continue  # r belongs to no point with this id: one of the other three is the right one
        raise InvalidSignature("the signature leads back to no key")  # pragma: no cover - mathematically impossible

    def _private(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(self.number, ec.SECP256K1())


def recover(digest: bytes, signature: Signature) -> bytes:
    """Return the public key (33 bytes) that made a signature over a digest.

    Q = r⁻¹ (s·R − z·G), where R is the point whose x is r (+ n when the recovery id has bit 1) and whose y has the
    parity of bit 0 (SEC 1, 4.1.6).

    Raises:
        InvalidSignature: no key made it.
    """
    x = signature.r + (_N if signature.recovery_id & 2 else 0)
    point = _point_at(x, is_odd=bool(signature.recovery_id & 1))
    if point is None:
        raise InvalidSignature("no public key can be recovered from the signature")
    inverse = pow(signature.r, -1, _N)
    key = _sum_of_multiples(signature.s * inverse % _N, point, -int.from_bytes(digest) * inverse % _N, _G)
    if key is None:
        raise InvalidSignature("no public key can be recovered from the signature")
    return bytes([2 | key[1] & 1]) + key[0].to_bytes(32)


def is_public_key(content: bytes) -> bool:
    """Return whether 33 bytes are a point of the curve."""
    if len(content) != 33 or content[0] not in {2, 3}:
        return False
    return _point_at(int.from_bytes(content[1:]), is_odd=content[0] == 3) is not None


def verify(digest: bytes, signature: Signature, public_key: bytes) -> None:
    """Return when `public_key` made the signature.

    Raises:
        InvalidSignature: it did not, or the signature is the higher of the two forms.
    """
    if not signature.is_low_s:
        raise InvalidSignature("the signature is not in its lower form")
    if recover(digest, signature) != public_key:
        raise InvalidSignature("the signature was not made by the named node")


def tweaked_public_key(public_key: bytes) -> bytes:
    """Return the 32 bytes of the taproot output key that spends by `public_key` alone (BIP 341, BIP 86).

    Raises:
        InvalidSignature: the key is no point of the curve.
    """
    x = public_key[1:]
    point = _point_at(int.from_bytes(x), is_odd=False)
    if point is None:
        raise InvalidSignature("not a public key")
    tag = hashlib.sha256(b"TapTweak").digest()
    tweak = int.from_bytes(hashlib.sha256(tag + tag + x).digest()) % _N
    output = _sum_of_multiples(1, point, tweak, _G)
    if output is None:  # pragma: no cover - the tweak would have to be the key's own negative
        raise InvalidSignature("the tweak cancels the key")
    return output[0].to_bytes(32)


def _compressed(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def _point_at(x: int, *, is_odd: bool) -> _Point:
    if x >= _P:
        return None
    square = (pow(x, 3, _P) + 7) % _P
    y = pow(square, (_P + 1) // 4, _P)
    if y * y % _P != square:
        return None
    return x, y if (y & 1) == is_odd else _P - y


def _sum_of_multiples(first_factor: int, first: tuple[int, int], second_factor: int, second: tuple[int, int]) -> _Point:
    """Return a·A + b·B for public factors: both at once, doubling once for each bit; not in constant time."""
    terms = {1: (*first, 1), 2: (*second, 1), 3: _add((*first, 1), (*second, 1))}
    total = _INFINITY
    for bit in reversed(range(256)):
        total = _double(total)
        which = (first_factor >> bit & 1) | (second_factor >> bit & 1) << 1
        if which:
            total = _add(total, terms[which])
    x, y, z = total
    if not z:
        return None
    inverse = pow(z, -1, _P)
    square = inverse * inverse % _P
    return x * square % _P, y * square * inverse % _P


# Jacobian coordinates: (X, Y, Z) is the point (X/Z², Y/Z³), Z = 0 the point at infinity; no division on the way.


def _double(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    if not z:
        return _INFINITY
    square = y * y % _P
    s = 4 * x * square % _P
    m = 3 * x * x % _P
    doubled_x = (m * m - 2 * s) % _P
    return doubled_x, (m * (s - doubled_x) - 8 * square * square) % _P, 2 * y * z % _P


def _add(left: _Jacobian, right: _Jacobian) -> _Jacobian:
    if not left[2] or not right[2]:
        return right if not left[2] else left
    left_zz, right_zz = left[2] * left[2] % _P, right[2] * right[2] % _P
    left_x, right_x = left[0] * right_zz % _P, right[0] * left_zz % _P
    left_y, right_y = left[1] * right_zz * right[2] % _P, right[1] * left_zz * left[2] % _P
    if left_x == right_x:
        return _double(left) if left_y == right_y else _INFINITY
    h, r = right_x - left_x, right_y - left_y
    h_square = h * h % _P
    h_cube = h_square * h % _P
    v = left_x * h_square % _P
    x = (r * r - h_cube - 2 * v) % _P
    return x, (r * (v - x) - left_y * h_cube) % _P, h * left[2] * right[2] % _P

"""Envelope encryption: each secret under a data key of its own, each data key under the master key.

A blob is `version (1) | key id (8) | nonce (12) | ciphertext and tag`, AES-256-GCM. The additional data name the
table, the row and the column, so that a blob moved to another row or column does not open.
"""

import hashlib
import hmac
import os
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from axisor.domain.errors import AxisorError, ConfigurationError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
KEY_ID_BYTES: Final = 8
_VERSION: Final = b"\x01"
_HEAD_BYTES: Final = 1 + KEY_ID_BYTES + NONCE_BYTES


class SecretUnreadable(AxisorError):
    """The blob was altered, moved from another row, or sealed with a key that is not here."""

    code = "secret_unreadable"


@dataclass(frozen=True, slots=True)
class Key:
    """32 bytes that encrypt; `key_id` tells keys apart and reveals nothing of them."""

    material: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.material) != KEY_BYTES:
            raise ConfigurationError(f"a key has {KEY_BYTES} bytes", variable="AXISOR_MASTER_KEY")

    @property
    def id_bytes(self) -> bytes:
        return hmac.new(self.material, b"axisor key id", hashlib.sha256).digest()[:KEY_ID_BYTES]

    @property
    def key_id(self) -> str:
        """Return the key's check value, in hexadecimal."""
        return self.id_bytes.hex()

    @classmethod
    def generate(cls) -> "Key":
        return cls(os.urandom(KEY_BYTES))

    def seal(self, plaintext: bytes, *, place: str) -> bytes:
        """Return the blob of `plaintext` for one place (`table|row|column`)."""
        nonce = os.urandom(NONCE_BYTES)
        head = _VERSION + self.id_bytes + nonce
        return head + AESGCM(self.material).encrypt(nonce, plaintext, head + place.encode())

    def open(self, blob: bytes, *, place: str) -> bytes:
        """Return what was sealed for this place.

        Raises:
            SecretUnreadable: any bit differs, the place is another one, or another key sealed it.
        """
        head, sealed = blob[:_HEAD_BYTES], blob[_HEAD_BYTES:]
        if head[:1] != _VERSION or len(head) != _HEAD_BYTES:
            raise SecretUnreadable("this is no sealed secret")
        if head[1 : 1 + KEY_ID_BYTES] != self.id_bytes:
            raise SecretUnreadable("sealed with another key", key_id=head[1 : 1 + KEY_ID_BYTES].hex())
        try:
            return AESGCM(self.material).decrypt(head[1 + KEY_ID_BYTES :], sealed, head + place.encode())
        except InvalidTag:
            raise SecretUnreadable("altered, or moved from another place") from None


def key_id_of(blob: bytes) -> str:
    """Return which key sealed a blob, in hexadecimal."""
    return blob[1 : 1 + KEY_ID_BYTES].hex()


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The master key in use, and older ones that still open what they sealed."""

    current: Key
    previous: tuple[Key, ...] = ()

    def find(self, key_id: str) -> Key | None:
        """Return the key of an id, None where it is not here."""
        return next((key for key in (self.current, *self.previous) if key.key_id == key_id), None)

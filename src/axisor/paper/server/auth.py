"""Signatures of requests and of stream sockets."""

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

from axisor.paper.engine import Engine
from axisor.paper.errors import Unauthorized
from axisor.paper.records import Account, ApiKey

KEY_HEADER: Final = "lnm-access-key"
_PASSPHRASE_HEADER: Final = "lnm-access-passphrase"  # noqa: S105 - the name of a header
_TIMESTAMP_HEADER: Final = "lnm-access-timestamp"
_SIGNATURE_HEADER: Final = "lnm-access-signature"


def signature_of(secret: str, message: bytes) -> str:
    """Return the Base64 of HMAC-SHA256."""
    return b64encode(hmac.digest(secret.encode(), message, hashlib.sha256)).decode()


class Authenticator:
    """Judges signatures against the keys of the engine and the exchange's clock."""

    def __init__(self, engine: Engine, *, window_s: float) -> None:
        self._engine = engine
        self._window_ms = window_s * 1000

    def check_request(
        self, headers: Mapping[str, str], *, method: str, path: str, query: str, body: bytes, now_ms: int
    ) -> tuple[Account, ApiKey]:
        """Return who signed a request: base64(HMAC-SHA256(secret, timestamp + method + path + data)).

        The data are the raw body, else the raw query with its question mark, else nothing.

        Raises:
            Unauthorized: a header is missing, the key unknown, the time outside the window or the signature wrong.
        """
        values = [headers.get(name, "") for name in (KEY_HEADER, _PASSPHRASE_HEADER, _TIMESTAMP_HEADER)]
        signature = headers.get(_SIGNATURE_HEADER, "")
        if not all(values) or not signature:
            raise Unauthorized("Missing authentication headers")
        key, passphrase, timestamp = values
        account, record = self._find(key, passphrase)
        self._check_window(timestamp, now_ms=now_ms)
        head = f"{timestamp}{method.lower()}{path}".encode()
        if not any(
            hmac.compare_digest(signature_of(record.secret, head + data).encode(), signature.encode())
            for data in _signed_data(query, body)
        ):
            raise Unauthorized("Invalid signature")
        return account, record

    def check_socket(self, params: Mapping[str, Any], *, now_ms: int) -> tuple[Account, ApiKey]:
        """Return who signed a stream's `authenticate`: base64(HMAC-SHA256(secret, timestamp + nonce))."""
        account, record = self._find(str(params.get("key", "")), str(params.get("passphrase", "")))
        timestamp = str(params.get("timestamp", ""))
        self._check_window(timestamp, now_ms=now_ms)
        expected = signature_of(record.secret, f"{timestamp}{params.get('nonce', '')}".encode())
        if not hmac.compare_digest(expected.encode(), str(params.get("signature", "")).encode()):
            raise Unauthorized("Invalid signature")
        return account, record

    def _find(self, key: str, passphrase: str) -> tuple[Account, ApiKey]:
        found = self._engine.keys.find(key)
        if found is None:
            raise Unauthorized("Api key does not exist")
        if not hmac.compare_digest(found[1].passphrase.encode(), passphrase.encode()):
            raise Unauthorized("Invalid passphrase")
        return found

    def _check_window(self, timestamp: str, *, now_ms: int) -> None:
        if not timestamp.isascii() or not timestamp.isdigit():
            raise Unauthorized("Invalid timestamp")
        if abs(now_ms - int(timestamp)) > self._window_ms:
            raise Unauthorized("Timestamp is outside the allowed window")


def _signed_data(query: str, body: bytes) -> list[bytes]:
    """Return what a client may have signed: the bytes as sent, and the forms that the official SDKs are known for."""
    if not body:
        return [f"?{query}".encode() if query else b""]
    forms = [body]
    try:
        parsed = json.loads(body)
    except ValueError:
        return forms
    compact = _without_trailing_zero(parsed)
    forms.append(json.dumps(compact, separators=(",", ":"), ensure_ascii=False).encode())
    forms.append(json.dumps(compact, separators=(",", ":")).encode())
    if body == b"{}":
        forms.append(b"")
    return forms


def _without_trailing_zero(value: Any) -> Any:
    """Return JSON data as JavaScript writes it: 10.0 is 10."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _without_trailing_zero(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_without_trailing_zero(member) for member in value]
    return value

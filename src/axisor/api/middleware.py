"""What every answer carries: a request id, security headers, a limit on what is read; plain ASGI, for speed."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from axisor.infra.ids import new_id

MAX_BODY_BYTES: Final = 64 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")

# The web app's scripts and styles are files of this origin; components set styles through the DOM, which is allowed.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_HSTS: Final = "max-age=31536000; includeSubDomains"


class Envelope:
    """Gives a request its id, binds it to the log, and adds the headers to whatever is answered."""

    def __init__(self, app: ASGIApp, *, is_public_https: bool) -> None:
        self._app = app
        self._is_public_https = is_public_https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else new_id()
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                for name, value in scope["state"].get("rate_headers", {}).items():
                    headers[name] = value
                if self._is_public_https or scope["scheme"] == "https":
                    headers["strict-transport-security"] = _HSTS
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_with_headers)


class BodyLimit:
    """Refuses a body above 64 KiB before it is read into memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        left = MAX_BODY_BYTES

        async def receive_within_limit() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(HTTPStatus.CONTENT_TOO_LARGE, "a request has at most 64 KiB")
            return message

        await self._app(scope, receive_within_limit, send)

"""An answer of REST before it is written to the socket."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from axisor.paper.errors import Refusal, RouteNotFound, TooManyRequests

encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Status, body and headers."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Any, *, status: int = 200) -> "Reply":
        return cls(status=status, body=encode(data))

    @classmethod
    def refusing(cls, refusal: Refusal) -> "Reply":
        """Return the exchange's error form; an unknown route is a text."""
        if isinstance(refusal, RouteNotFound):
            return cls(status=404, body=b"Not found", content_type="text/plain")
        headers = {"Retry-After": str(refusal.retry_after_s)} if isinstance(refusal, TooManyRequests) else {}
        error: dict[str, Any] = {"code": refusal.wire_code, "message": refusal.message}
        if refusal.details is not None:
            error["details"] = refusal.details
        return cls(status=refusal.status, body=encode(error), headers=headers)

    def to_response(self) -> web.Response:
        return web.Response(
            status=self.status, body=self.body, content_type=self.content_type, charset="utf-8", headers=self.headers
        )

"""How values leave over HTTP and the stream: encoded once, by msgspec; the types are kept for the OpenAPI document."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

type Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""An instant in UTC as ISO 8601 with milliseconds: `2026-03-01T12:00:00.000Z`."""


class Body(BaseModel):
    """What a client sends; a field that is not asked for is refused, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)


def instant(at: datetime) -> str:
    """Return an aware instant as ISO 8601 in UTC with milliseconds.

    >>> instant(datetime(2026, 3, 1, 12, 0, 0, 1999, tzinfo=UTC))
    '2026-03-01T12:00:00.001Z'
    """
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def optional_instant(at: datetime | None) -> str | None:
    """Return an instant as `instant` does, None for None."""
    return None if at is None else instant(at)


def answer(value: Any, *, status_code: int = 200) -> Response:
    """Return a JSON response that no cache keeps."""
    return Response(
        msgspec.json.encode(value),
        status_code=status_code,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )

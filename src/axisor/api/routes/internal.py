"""For the processes of this machine alone: a link that signs in, and what happens, in words."""

import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Request
from starlette.responses import Response, StreamingResponse

from axisor.api.channels import Client
from axisor.api.feeds import ACTIVITY_TOPIC
from axisor.api.routes.parts import ServicesDependency
from axisor.api.services import Services
from axisor.api.words import Language, language_of, line_of
from axisor.domain.errors import NotAuthenticated, NotFound
from axisor.domain.units import UserId
from axisor.features.notifications.events import ActivityKind
from axisor.infra.wire import Instant, answer, instant


def _is_internal(
    services: ServicesDependency, key: Annotated[str, Header(alias="X-Axisor-Internal", max_length=200)] = ""
) -> None:
    expected = services.internal_key
    if expected is None or not hmac.compare_digest(key.encode(), expected.encode()):
        raise NotAuthenticated("this address is for the processes of this machine")


router = APIRouter(prefix="/internal", include_in_schema=False, dependencies=[Depends(_is_internal)])


@dataclass(frozen=True, slots=True, kw_only=True)
class StartLink:
    token: str
    expires_at: Instant


@router.post("/start-link")
async def start_link(services: ServicesDependency) -> Response:
    token, expires_at = await services.doorkeeper.accounts.create_start_link(is_demo=services.is_demo)
    return answer(StartLink(token=token, expires_at=instant(expires_at)))


@router.get("/events")
async def events(services: ServicesDependency, request: Request) -> Response:
    """Lines of JSON, one per event of this machine's own user, from now on and until the reader goes."""
    user = await services.doorkeeper.accounts.find_principal(is_demo=services.is_demo)
    if user is None:
        raise NotFound("user", "of this machine")
    asked = request.headers.get("accept-language")
    language = services.language if asked is None or asked == "*" else language_of(asked)
    return StreamingResponse(_lines(services, user.user_id, language), media_type="application/x-ndjson")


async def _lines(services: Services, user_id: UserId, language: Language) -> AsyncIterator[bytes]:
    client = Client(user_id=user_id, family_id=None)
    hub = services.hub
    if not hub.connect(client):
        return
    try:
        await hub.subscribe(client, [ACTIVITY_TOPIC], {})
        while frames := await client.next_frames():
            for frame in frames:
                message: dict[str, Any] = msgspec.json.decode(frame)
                if message.get("topic") != ACTIVITY_TOPIC or message.get("snapshot"):
                    continue
                yield msgspec.json.encode({"line": _line(services, user_id, message["data"], language)}) + b"\n"
    finally:
        hub.disconnect(client)


def _line(services: Services, user_id: UserId, activity: dict[str, Any], language: Language) -> str:
    return line_of(
        ActivityKind(activity["kind"]),
        activity["data"],
        at=datetime.fromisoformat(activity["at"]),
        language=language,
        is_guarded=services.hub.is_guarded(user_id, activity["exchange_account_id"]),
    )

"""Routes of signing in and out."""

from typing import Annotated, Final

from fastapi import APIRouter, Cookie, Depends, Header, Request, Response

from axisor.domain.errors import NotAuthenticated, NotPermitted
from axisor.features.accounts.auth import (
    Doorkeeper,
    DoorkeeperDependency,
    ProfileDependency,
    ViewerDependency,
    address_of,
    count_sign_in,
)
from axisor.features.accounts.limits import Ticket
from axisor.features.accounts.schemas import (
    Empty,
    LoginBody,
    SessionRead,
    StartBody,
    TicketRead,
    UserRead,
    read_session,
    read_user,
)
from axisor.features.accounts.service import SignedIn
from axisor.features.accounts.visits import Visit
from axisor.infra.wire import answer, instant

router = APIRouter(tags=["session"])

PLAIN_COOKIE: Final = "axisor_session"
SECURE_COOKIE: Final = "__Secure-axisor_session"
"""The prefix makes browsers refuse the cookie without TLS; `__Host-` would forbid the narrow path."""
PLAIN_DEVICE_COOKIE: Final = "axisor_device"
SECURE_DEVICE_COOKIE: Final = "__Secure-axisor_device"
"""By this a browser that signed in before is known again: it is not held up by others' guesses."""
DEVICE_COOKIE_S: Final = 400 * 86_400
COOKIE_PATH: Final = "/api/v1/auth"


def _same_origin(request: Request, origin: Annotated[str | None, Header(include_in_schema=False)] = None) -> None:
    """Refuse a request that another site's page makes: the cookie alone would not tell."""
    if origin is None or origin in {str(request.base_url).rstrip("/"), request.app.state.public_url}:
        return
    raise NotPermitted("requests from other sites are refused")


SameOrigin = Depends(_same_origin)

SIGN_IN: Final = (SameOrigin, Depends(count_sign_in))
"""What guards a route by which somebody becomes known."""


def _session_cookie(
    plain: Annotated[str | None, Cookie(alias=PLAIN_COOKIE)] = None,
    secure: Annotated[str | None, Cookie(alias=SECURE_COOKIE)] = None,
) -> str | None:
    return secure or plain


SessionCookie = Annotated[str | None, Depends(_session_cookie)]


def _visit(
    request: Request,
    plain: Annotated[str | None, Cookie(alias=PLAIN_DEVICE_COOKIE)] = None,
    secure: Annotated[str | None, Cookie(alias=SECURE_DEVICE_COOKIE)] = None,
) -> Visit:
    return Visit(
        address=address_of(request),
        user_agent=request.headers.get("user-agent", ""),
        device_token=secure or plain,
    )


VisitDependency = Annotated[Visit, Depends(_visit)]


@router.post("/auth/start", response_model=SessionRead, dependencies=SIGN_IN, summary="Use a start link")
async def start(request: Request, keeper: DoorkeeperDependency, visit: VisitDependency, body: StartBody) -> Response:
    signed_in = await keeper.accounts.start(body.token.get_secret_value(), visit=visit)
    return session_answer(request, keeper, signed_in)


@router.post("/auth/login", response_model=SessionRead, dependencies=SIGN_IN, summary="Sign in with a password")
async def login(request: Request, keeper: DoorkeeperDependency, visit: VisitDependency, body: LoginBody) -> Response:
    signed_in = await keeper.accounts.login(email=body.email, password=body.password.get_secret_value(), visit=visit)
    return session_answer(request, keeper, signed_in)


@router.post("/auth/refresh", response_model=SessionRead, dependencies=[SameOrigin], summary="Continue a session")
async def refresh(
    request: Request, keeper: DoorkeeperDependency, visit: VisitDependency, token: SessionCookie
) -> Response:
    if token is None:
        raise NotAuthenticated("there is no session")
    signed_in = await keeper.accounts.refresh(token, visit=visit)
    return session_answer(request, keeper, signed_in)


@router.post("/auth/logout", response_model=Empty, dependencies=[SameOrigin], summary="End a session")
async def logout(keeper: DoorkeeperDependency, token: SessionCookie) -> Response:
    if token is not None:
        await keeper.accounts.logout(token)
    response = answer(Empty())
    for name in (PLAIN_COOKIE, SECURE_COOKIE):
        response.delete_cookie(name, path=COOKIE_PATH, httponly=True, samesite="strict", secure=name == SECURE_COOKIE)
    return response


@router.get("/me", response_model=UserRead, summary="Who is signed in")
async def me(keeper: DoorkeeperDependency, caller: ProfileDependency) -> Response:
    return answer(read_user(await keeper.accounts.get_user(caller.user_id)))


@router.post("/stream/ticket", response_model=TicketRead, summary="A ticket that opens one stream")
async def stream_ticket(keeper: DoorkeeperDependency, caller: ViewerDependency) -> Response:
    if not caller.family_id:
        raise NotPermitted("a stream belongs to a session, and an API token has none")
    ticket, expires_at = await keeper.tickets.issue(
        Ticket(user_id=caller.user_id, family_id=caller.family_id), now=keeper.clock.now()
    )
    return answer(TicketRead(ticket=ticket, expires_at=instant(expires_at)))


def session_answer(request: Request, keeper: Doorkeeper, signed_in: SignedIn) -> Response:
    response = answer(read_session(signed_in))
    is_secure = request.url.scheme == "https" or str(request.app.state.public_url).startswith("https:")
    response.set_cookie(
        SECURE_COOKIE if is_secure else PLAIN_COOKIE,
        signed_in.refresh_token,
        max_age=int((signed_in.refresh_expires_at - keeper.clock.now()).total_seconds()),
        path=COOKIE_PATH,
        httponly=True,
        samesite="strict",
        secure=is_secure,
    )
    if signed_in.device_token is not None:
        response.set_cookie(
            SECURE_DEVICE_COOKIE if is_secure else PLAIN_DEVICE_COOKIE,
            signed_in.device_token,
            max_age=DEVICE_COOKIE_S,
            path=COOKIE_PATH,
            httponly=True,
            samesite="strict",
            secure=is_secure,
        )
    return response

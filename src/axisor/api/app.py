"""The application: routes, middleware, errors, and the document that describes them."""

from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from axisor import __version__
from axisor.api import errors, static
from axisor.api.activity import ActivityView
from axisor.api.errors import Problem
from axisor.api.market import PriceView
from axisor.api.middleware import BodyLimit, Envelope
from axisor.api.routes import (
    accounts,
    coverage,
    cross,
    demo,
    evidence,
    explanation,
    fund,
    guard,
    history,
    instance,
    internal,
    market,
    personal,
    proofs,
    rules,
    stream,
)
from axisor.api.routes.demo import DemoView
from axisor.api.routes.market import CandleView
from axisor.api.services import Services
from axisor.features.accounts import endpoints as session
from axisor.features.accounts import security_endpoints as security
from axisor.features.accounts import sign_in_endpoints as sign_in
from axisor.features.accounts.auth import permissions_in
from axisor.features.accounts.endpoints import PLAIN_COOKIE
from axisor.features.trading.coverage_views import UserCoverageView
from axisor.features.trading.schemas import WatchView

API_PREFIX: Final = "/api/v1"
_STREAM_SHAPES: Final = (PriceView, CandleView, ActivityView, WatchView, UserCoverageView, DemoView)
PARTS: Final = (
    instance,
    session,
    sign_in,
    security,
    personal,
    accounts,
    guard,
    rules,
    coverage,
    cross,
    explanation,
    proofs,
    fund,
    evidence,
    history,
    market,
    demo,
)
"""The modules whose routes stand under the prefix."""
_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {
        "model": Problem,
        "description": description,
        "content": {errors.PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, description in (
        (400, "The request could not be read."),
        (401, "Not signed in, or no longer."),
        (403, "Signed in, and not allowed."),
        (404, "There is no such thing, or it is another person's."),
        (409, "It contradicts what is stored."),
        (422, "It does not have the documented shape, or a rule of trading says no."),
        (429, "Too many attempts; `Retry-After` says when."),
        (503, "A part that this needs does not answer."),
    )
}


def create_app(services: Services) -> FastAPI:
    """Return the application over its services; `services.hub` is run by the caller."""
    app = describe_app()
    app.state.services = services
    app.state.doorkeeper = services.doorkeeper
    app.state.people = services.people
    app.state.public_url = services.public_url
    app.add_middleware(BodyLimit)
    app.add_middleware(Envelope, is_public_https=services.public_url.startswith("https:"))
    static.mount(app, services.web_app)
    return app


def describe_app() -> FastAPI:
    """Return the application without anything behind it: enough to describe it."""
    app = FastAPI(
        title="Axisor",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    api = APIRouter(prefix=API_PREFIX, responses=_PROBLEMS)
    for part in PARTS:
        api.include_router(part.router)
    api.include_router(stream.router)

    @api.get("/openapi.json", include_in_schema=False)
    async def openapi_document() -> dict[str, Any]:
        return openapi(app)

    app.include_router(api)
    app.include_router(instance.health)
    app.include_router(internal.router)
    errors.install(app)
    return app


def list_operations() -> list[tuple[str, APIRoute]]:
    """Return every documented operation as its method and route."""
    return [
        (method, route)
        for part in PARTS
        for route in part.router.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods or ())
    ]


def openapi(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of an application, security schemes and problem documents included."""
    if app.openapi_schema is None:
        document = get_openapi(
            title="Axisor",
            version=__version__,
            summary="Margin guard for LN Markets.",
            description=(
                "Prices are JSON numbers in USD per BTC (halves are exact), amounts integers of sats, shares numbers "
                "of 1, times ISO 8601 in UTC. Errors are problem documents (RFC 9457) with a stable `code`."
            ),
            license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
            routes=app.routes,
        )
        schemes = document["components"].setdefault("securitySchemes", {})
        schemes["sessionCookie"] = {
            "type": "apiKey",
            "in": "cookie",
            "name": PLAIN_COOKIE,
            "description": "HttpOnly, SameSite=Strict, for /api/v1/auth alone; behind https with `__Secure-` in front.",
        }
        for path in ("/auth/refresh", "/auth/logout", "/auth/reauthenticate"):
            document["paths"][API_PREFIX + path]["post"]["security"] = [{"sessionCookie": []}]
        for operations in document["paths"].values():
            for operation in operations.values():
                _use_problem_documents(operation)
        for method, route in list_operations():
            if permissions := permissions_in(route.dependant):
                (permission,) = permissions
                document["paths"][API_PREFIX + route.path][method.lower()]["x-permission"] = permission.value
        schemas = document["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        document["x-stream"] = _describe_stream(schemas)
        app.openapi_schema = document
    return app.openapi_schema


def _use_problem_documents(operation: dict[str, Any]) -> None:
    """Leave out FastAPI's own shape of errors: every failure is rendered as a problem document."""
    for response in operation.get("responses", {}).values():
        content = response.get("content", {})
        if errors.PROBLEM_TYPE in content:
            content.pop("application/json", None)


def _describe_stream(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return what travels over the WebSocket, its shapes added to the document's own."""
    for shape in _STREAM_SHAPES:
        schema = TypeAdapter(shape).json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
        for name, part in schema.pop("$defs", {}).items():
            schemas.setdefault(name, part)
        schemas.setdefault(shape.__name__, schema)
    return {
        "path": API_PREFIX + "/stream",
        "query": {"ticket": "From POST /api/v1/stream/ticket; single use, 30 s."},
        "topics": {
            topic: {"data": {"$ref": f"#/components/schemas/{name}"}, "delivery": delivery}
            for topic, name, delivery in (
                ("market.price", "PriceView", "latest"),
                ("market.candle.1s", "CandleView", "best effort"),
                ("account.{exchange_account_id}", "AccountView", "latest"),
                ("account.{exchange_account_id}.trades", "TradeList", "latest"),
                ("activity", "ActivityView", "certain; a snapshot has {items}, newest first"),
                ("guard.status", "WatchView", "latest; an object of account id to this"),
                ("guard.coverage", "UserCoverageView", "latest, where it has changed"),
                ("demo", "DemoView", "latest"),
            )
        },
    }

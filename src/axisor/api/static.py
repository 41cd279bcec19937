"""The built web app: hashed files cached for ever, the page itself never, precompressed where the build did it."""

import mimetypes
from http import HTTPStatus
from pathlib import Path
from typing import Final

import structlog
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from axisor.api.errors import problem

log = structlog.get_logger(__name__)

_IMMUTABLE: Final = "public, max-age=31536000, immutable"
_REVALIDATE: Final = "no-cache"
_HASHED_FOLDER: Final = "assets"
_ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
_OURS: Final = ("api", "internal", "healthz", "readyz", "metrics")


def find_web_app() -> Path:
    """Return where the built web app belongs: inside an installed package, beside the sources in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "web"
    return inside if (inside / "index.html").is_file() else package.parents[1] / "web" / "dist"


def mount(app: FastAPI, folder: Path) -> None:
    """Serve the web app for every path that no route of the API takes; call it last."""
    if not (folder / "index.html").is_file():
        log.warning("web_app_missing", folder=str(folder))

    @app.api_route("/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def web_app(request: Request, path: str) -> Response:
        if path.split("/", 1)[0] in _OURS:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is nothing at this address")
        found = await run_in_threadpool(_find, folder, path, request.headers.get("accept-encoding", ""))
        if found is None and not (folder / "index.html").is_file():
            return problem(
                request,
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                code="web_app_missing",
                detail="the web app is not built here: run ./axisor up, or npm ci && npm run build in web/",
            )
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such file")
        return found


def _find(folder: Path, path: str, accepted: str) -> Response | None:
    """Return the file of a path, the page itself for an address of the app's own, None for a file that is missing."""
    root = folder.resolve()
    target = (root / path).resolve()
    if not target.is_relative_to(root) or any(part.startswith(".") for part in Path(path).parts):
        return None
    if path and target.is_file():
        is_hashed = target.relative_to(root).parts[0] == _HASHED_FOLDER
        return _file(target, accepted, cache_control=_IMMUTABLE if is_hashed else _REVALIDATE)
    page = root / "index.html"
    if ("." in target.name and path) or not page.is_file():
        return None
    return _file(page, accepted, cache_control=_REVALIDATE)


def _file(target: Path, accepted: str, *, cache_control: str) -> FileResponse:
    media_type = mimetypes.guess_type(target.name)[0] or "application/octet-stream"
    headers = {"cache-control": cache_control, "vary": "accept-encoding"}
    for encoding, suffix in _ENCODINGS:
        compressed = target.with_name(target.name + suffix)
        if encoding in accepted and compressed.is_file():
            return FileResponse(compressed, media_type=media_type, headers={**headers, "content-encoding": encoding})
    return FileResponse(target, media_type=media_type, headers=headers)

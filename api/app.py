"""The FastAPI app: routers, the error handler, request ids, limits, and the portal at `/app/`.

Everything is served at `/v1/…` and at `/…` too, since some clients take the root as their base.
"""

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import __version__, bus, db, logs
from api.errors import BadRequest, Error, NotFound, TooLarge, TuneryError
from api.portal import Portal
from api.routes import (
    admin,
    auth,
    chat,
    extension,
    files,
    jobs,
    members,
    models,
    operations,
    preflight,
    sessions,
    stream,
    uploads,
)
from api.routes.credits import router as credits_router
from api.settings import settings

log = structlog.get_logger()

PORTAL = Path(__file__).parent.parent / "frontend" / "dist"

# These bound their own bodies, which are files.
_UPLOADS = re.compile(r"(/v1)?/(files|uploads/[^/]+/parts)")

ROUTERS = (
    auth.router,
    sessions.router,
    members.router,
    files.router,
    uploads.router,
    preflight.router,
    models.router,
    jobs.router,
    extension.router,
    stream.router,
    chat.router,
    credits_router,
    admin.router,
    operations.router,
)


def create_app(portal: Path = PORTAL) -> FastAPI:
    """The app of one API process."""
    logs.configure()
    app = FastAPI(
        title="Tunery",
        version=__version__,
        lifespan=_lifespan,
        summary="Fine-tuning as a service, on OpenAI's wire.",
        responses={"default": {"model": Error, "description": "What was refused, and what to do."}},
        generate_unique_id_function=lambda route: route.name,
    )
    for router in ROUTERS:
        app.include_router(router, prefix="/v1")
        app.include_router(router, include_in_schema=False)
    app.add_api_route("/healthz", _health, include_in_schema=False)
    app.add_exception_handler(TuneryError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_shape)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(Exception, _confess)
    app.add_middleware(Limits)
    if portal.is_dir():
        for path in ("/", "/app"):
            app.add_api_route(path, _to_portal, methods=["GET", "HEAD"], include_in_schema=False)
        app.mount("/app", Portal(portal), name="portal")
    return app


class Limits:
    """A request id on every answer, and a bound on every body but an upload's."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = f"req_{secrets.token_hex(12)}"
        scope.setdefault("state", {})["request_id"] = request_id

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                header = (b"x-request-id", request_id.encode())
                message["headers"] = [*message.get("headers", []), header]
            await send(message)

        if _is_upload(scope):
            await self.app(scope, receive, marked)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > settings().request_body_bytes_max:
            refused = _too_large()
            await JSONResponse(refused.body(), refused.status)(scope, receive, marked)
            return
        await self.app(scope, _bounded(receive), marked)


def _is_upload(scope: Scope) -> bool:
    return scope["method"] == "POST" and _UPLOADS.fullmatch(scope["path"]) is not None


def _bounded(receive: Receive) -> Receive:
    """For bodies that do not say how long they are."""
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > settings().request_body_bytes_max:
            raise _too_large()
        return message

    return bounded


def _too_large() -> TooLarge:
    most = settings().request_body_bytes_max
    return TooLarge(f"A request has at most {most:,} bytes (request_body_bytes_max).")


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.hub = bus.Hub()
    yield
    await app.state.hub.close()


async def _to_portal() -> RedirectResponse:
    return RedirectResponse("/app/")


async def _health() -> dict[str, Any]:
    """Alive, and what it reaches. Without PostgreSQL no service; without Redis a slower one."""

    def database() -> bool:
        with db.anonymous_transaction():
            return True

    return {
        "status": "ok",
        "version": __version__,
        "database": await run_in_threadpool(database),
        "redis": await run_in_threadpool(bus.ping),
    }


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TuneryError)
    if error.status >= 500:
        log.warning("request.failed", code=error.code, request=_request_id(request))
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers)


async def _refuse_shape(request: Request, error: Exception) -> JSONResponse:
    """Everything that is wrong with the request at once, in OpenAI's error body."""
    assert isinstance(error, RequestValidationError)
    problems = [(_place(found["loc"]), found["msg"]) for found in error.errors()]
    message = "; ".join(f"{place}: {text}" for place, text in problems[:20])
    return await _refuse(
        request, BadRequest(f"{message}.", code="invalid_request", param=problems[0][0] or None)
    )


async def _refuse_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return await _refuse(request, NotFound(f"There is nothing at {request.url.path}."))
    refused = BadRequest(str(error.detail))
    return JSONResponse(refused.body(), status_code=error.status_code, headers=error.headers)


async def _confess(request: Request, error: Exception) -> JSONResponse:
    """A fault of ours. Details go to the log, the id to the caller."""
    request_id = _request_id(request)
    log.error("request.crashed", request=request_id, path=request.url.path, exc_info=error)
    crashed = TuneryError(
        f"Something broke on our side. Tell your operator this request's id: {request_id}."
    )
    return JSONResponse(crashed.body(), status_code=500, headers={"x-request-id": request_id})


def _place(loc: tuple[Any, ...]) -> str:
    """`("body", "messages", 0, "content")` -> `messages[0].content`."""
    place = ""
    for part in loc[1:] if loc[:1] in (("body",), ("query",), ("header",), ("path",)) else loc:
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    return place.removeprefix(".")


def _request_id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))

"""What every route stands on: who is asking, their transaction, and lists in OpenAI's shape.

A cookie counts only for requests that our own pages make: an unsafe method from another origin is
refused. The tenant's transaction commits before the response starts (`scope="function"`), so a
client never holds a 200 for what was not stored.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, overload
from urllib.parse import urlsplit

from fastapi import Depends, Query, Request
from sqlalchemy.orm import Session

from api import operators, quotas, tenants
from api.db import anonymous_transaction, enter_tenant, transaction
from api.errors import Forbidden, Unauthenticated
from api.routes.shapes import Item, Page
from api.settings import settings
from api.tenants import Actor

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def cookie_name() -> str:
    """Bound to our host and to https where we have it; plain on a developer's machine."""
    return "__Host-tunery" if settings().public_url.startswith("https:") else "tunery_session"


def who(request: Request) -> Actor:
    """The caller, by API key or by session cookie. Raises Unauthenticated, RateLimited."""
    with anonymous_transaction() as session:
        actor = _caller(request, session)
        enter_tenant(session, actor.tenant_id)
        most = quotas.limits(session, actor.tenant_id).requests_per_minute_max
    # Counted outside the transaction: a Redis that hangs holds no connection of the database's.
    quotas.count_request(actor.tenant_id, most)
    return actor


def _caller(request: Request, session: Session) -> Actor:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return tenants.by_key(session, key.strip())
    if token := request.cookies.get(cookie_name()):
        _refuse_foreign_origin(request)
        return tenants.by_session(session, token, datetime.now(UTC))
    raise Unauthenticated(
        "No API key was sent. Send `Authorization: Bearer tk-…`; keys are made under Settings or "
        "by `tunery up`."
    )


Who = Annotated[Actor, Depends(who, scope="function")]


def tenant_transaction(actor: Who) -> Iterator[Session]:
    with transaction(actor.tenant_id) as session:
        yield session


def nobody_transaction() -> Iterator[Session]:
    with anonymous_transaction() as session:
        yield session


def operator(actor: Who) -> Actor:
    """The caller, where they run this service. Raises Forbidden."""
    with transaction(actor.tenant_id) as session:
        operators.refuse_others(session, actor.user_id)
    return actor


Operator = Annotated[Actor, Depends(operator, scope="function")]


def system_transaction(_actor: Operator) -> Iterator[Session]:
    """In sight of every tenant; no request comes here but through `operator`."""
    with transaction() as session:
        yield session


InTenant = Annotated[Session, Depends(tenant_transaction, scope="function")]
InSystem = Annotated[Session, Depends(system_transaction, scope="function")]
Anonymous = Annotated[Session, Depends(nobody_transaction, scope="function")]


def limit_of(limit: Annotated[int, Query(ge=0)] = 20) -> int:
    """OpenAI's clients send 0 for the default; more than a page is a page."""
    return min(limit or 20, settings().page_items_max)


Limit = Annotated[int, Depends(limit_of)]


def listed(items: Sequence[Item], limit: int) -> Page[Item]:
    """One page of `limit` out of a query that asked for one more."""
    data = list(items[:limit])
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(items) > limit,
    }


@overload
def unix(moment: datetime) -> int: ...


@overload
def unix(moment: datetime | None) -> int | None: ...


def unix(moment: datetime | None) -> int | None:
    return int(moment.timestamp()) if moment else None


def streams(description: str, shape: str | None = None) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: a 200 that may come as server-sent events."""
    schema = {"$ref": f"#/components/schemas/{shape}"} if shape else {"type": "string"}
    return {200: {"description": description, "content": {"text/event-stream": {"schema": schema}}}}


def _refuse_foreign_origin(request: Request) -> None:
    origin = request.headers.get("origin")
    if request.method in _SAFE or origin is None:
        return
    allowed = {urlsplit(settings().public_url).netloc, request.headers.get("host", "")}
    if urlsplit(origin).netloc not in allowed:
        raise Forbidden(
            f"Requests from {origin} cannot use a browser's session here. Use an API key.",
            code="foreign_origin",
        )

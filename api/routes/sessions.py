"""Where somebody is signed in, their password, and which of their tenants they look at."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field

from api import tenants
from api.errors import Forbidden, NotFound
from api.routes.auth import own_account
from api.routes.door import InTenant, Who, cookie_name, unix
from api.routes.shapes import members as shapes
from api.routes.shapes.people import Me
from api.spec import Frozen

router = APIRouter(tags=["account"])

Short = Annotated[str, Field(max_length=256)]


class NewPassword(Frozen):
    current: Short
    new: Short


class Switch(Frozen):
    tenant_id: Short


@router.get("/sessions")
def list_sessions(request: Request, actor: Who, session: InTenant) -> shapes.SessionList:
    """Every browser in which you are signed in, the latest seen first."""
    found = tenants.sessions(session, _token(request, actor), datetime.now(UTC))
    return {"object": "list", "data": [_session(each) for each in found]}


@router.delete("/sessions")
def end_other_sessions(request: Request, actor: Who, session: InTenant) -> shapes.SessionsEnded:
    """Sign out everywhere but here."""
    ended = tenants.end_other_sessions(session, _token(request, actor))
    return {"object": "sessions_ended", "ended": ended}


@router.delete("/sessions/{session_id}")
def end_session(
    session_id: str, request: Request, actor: Who, session: InTenant
) -> shapes.DeletedSession:
    """Sign one browser out; it may be this one."""
    if actor.key_id is not None:  # a key has no sessions
        raise NotFound(f"There is no session {session_id!r}.")
    tenants.end_session(session, _token(request, actor), session_id, datetime.now(UTC))
    return {"id": session_id, "object": "session", "deleted": True}


@router.post("/auth/password")
def change_password(
    body: NewPassword, request: Request, actor: Who, session: InTenant
) -> shapes.SessionsEnded:
    """A new password; every other session of yours ends. Keys go on."""
    token = _token(request, actor)
    ended = tenants.change_password(session, actor, token, current=body.current, new=body.new)
    return {"object": "sessions_ended", "ended": ended}


@router.post("/auth/switch")
def switch_tenant(body: Switch, request: Request, actor: Who, session: InTenant) -> Me:
    """Look at another tenant that you belong to, in this session."""
    there = tenants.switch(session, actor, _token(request, actor), body.tenant_id)
    return own_account(session, there)


def _token(request: Request, actor: tenants.Actor) -> str:
    """The token of the session that is asking. Raises Forbidden for a key."""
    token = request.cookies.get(cookie_name())
    if actor.key_id is not None or token is None:
        raise Forbidden(
            "This is for a person who is signed in, not for an API key.", code="session_needed"
        )
    return token


def _session(each: tenants.SignedIn) -> shapes.Session:
    return {
        "id": each.id,
        "object": "session",
        "user_agent": each.user_agent,
        "tenant_id": each.tenant_id,
        "created_at": unix(each.created_at),
        "seen_at": unix(each.seen_at),
        "current": each.current,
    }

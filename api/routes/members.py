"""The people of a tenant: members, invitations, and joining by one."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api import members, tenants
from api.routes.auth import own_account, set_cookie
from api.routes.door import Anonymous, InTenant, Who, unix
from api.routes.shapes import members as shapes
from api.routes.shapes.people import Me
from api.settings import settings
from api.spec import Frozen
from api.tables import Invitation
from api.tenants import Role

router = APIRouter(tags=["members"])

Short = Annotated[str, Field(max_length=256)]


class NewRole(Frozen):
    role: Role


class Invite(Frozen):
    email: Short
    role: Role = "member"


class Link(Frozen):
    token: Short


class Join(Link):
    password: Short


@router.get("/members")
def list_members(actor: Who, session: InTenant) -> shapes.MemberList:
    found = members.members(session, actor.tenant_id)
    return {"object": "list", "data": [_member(each, actor) for each in found]}


@router.patch("/members/{user_id}")
def set_member_role(user_id: str, actor: Who, session: InTenant, body: NewRole) -> shapes.Member:
    """Make somebody an owner, or no longer one. For owners; the last one stays."""
    return _member(members.set_role(session, actor, user_id, body.role), actor)


@router.delete("/members/{user_id}")
def remove_member(user_id: str, actor: Who, session: InTenant) -> shapes.DeletedMember:
    """End somebody's membership, with their sessions and keys here. For owners, or oneself."""
    members.remove(session, actor, user_id)
    return {"id": user_id, "object": "member", "deleted": True}


@router.get("/members/invitations")
def list_invitations(actor: Who, session: InTenant) -> shapes.InvitationList:
    found = members.invitations(session, actor.tenant_id)
    return {"object": "list", "data": [_invitation(row) for row in found]}


@router.post("/members/invitations", status_code=201)
def create_invitation(body: Invite, actor: Who, session: InTenant) -> shapes.NewInvitation:
    """A link to hand over; nothing is mailed. Inviting an address again replaces its link."""
    row, token = members.invite(session, actor, email=body.email, role=body.role)
    url = f"{settings().public_url.rstrip('/')}/app/join/{token}"
    return {**_invitation(row), "token": token, "url": url}


@router.delete("/members/invitations/{invitation_id}")
def revoke_invitation(
    invitation_id: str, actor: Who, session: InTenant
) -> shapes.DeletedInvitation:
    members.revoke_invitation(session, actor, invitation_id)
    return {"id": invitation_id, "object": "invitation", "deleted": True}


@router.post("/auth/invitation")
def read_invitation(body: Link, session: Anonymous) -> shapes.Invited:
    """Who invites whom to what. The token travels in the body, so that no log has it."""
    found = members.invited(session, body.token)
    return {
        "object": "invited",
        "email": found.email,
        "role": found.role,
        "tenant": found.tenant_name,
        "expires_at": unix(found.expires_at),
        "known": tenants.find_account(session, found.email) is not None,
    }


@router.post("/auth/join")
def join_tenant(body: Join, request: Request, response: Response, session: Anonymous) -> Me:
    """Become a member, and be signed in there. Who has an account gives its password."""
    actor, token = members.join(
        session,
        token=body.token,
        password=body.password,
        user_agent=request.headers.get("user-agent", ""),
    )
    set_cookie(response, token)
    return own_account(session, actor)


def _member(person: members.Person, actor: tenants.Actor) -> shapes.Member:
    return {
        "id": person.user_id,
        "object": "member",
        "email": person.email,
        "role": person.role,
        "joined_at": unix(person.joined_at),
        "you": person.user_id == actor.user_id,
    }


def _invitation(row: Invitation) -> shapes.Invitation:
    return {
        "id": row.id,
        "object": "invitation",
        "email": row.email,
        "role": members.role_of(row.role),
        "created_at": unix(row.created_at),
        "expires_at": unix(row.expires_at),
        "invited_by": row.created_by,
    }

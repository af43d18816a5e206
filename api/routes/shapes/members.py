"""The people of a tenant, invitations, and where somebody is signed in."""

from typing import Literal

from api.routes.shapes import Shape
from api.tenants import Role


class Member(Shape):
    """`you`: whoever is asking."""

    id: str
    object: Literal["member"]
    email: str
    role: Role
    joined_at: int
    you: bool


class MemberList(Shape):
    object: Literal["list"]
    data: list[Member]


class DeletedMember(Shape):
    id: str
    object: Literal["member"]
    deleted: Literal[True]


class Invitation(Shape):
    """`invited_by` is a person's id. One whose time is over is listed until it is replaced."""

    id: str
    object: Literal["invitation"]
    email: str
    role: Role
    created_at: int
    expires_at: int
    invited_by: str


class NewInvitation(Invitation):
    """The token and the link with it, which are in this answer and never again."""

    token: str
    url: str


class InvitationList(Shape):
    object: Literal["list"]
    data: list[Invitation]


class DeletedInvitation(Shape):
    id: str
    object: Literal["invitation"]
    deleted: Literal[True]


class Invited(Shape):
    """What the page behind a link shows. `known`: that address has a password already."""

    object: Literal["invited"]
    email: str
    role: Role
    tenant: str
    expires_at: int
    known: bool


class Session(Shape):
    """A browser that is signed in, in the tenant it looks at; `current` is the one that asks."""

    id: str
    object: Literal["session"]
    user_agent: str
    tenant_id: str
    created_at: int
    seen_at: int
    current: bool


class SessionList(Shape):
    object: Literal["list"]
    data: list[Session]


class DeletedSession(Shape):
    id: str
    object: Literal["session"]
    deleted: Literal[True]


class SessionsEnded(Shape):
    object: Literal["sessions_ended"]
    ended: int

"""Who belongs to a tenant: invite, join, role, remove. Always at least one owner.

There is no mail: an invitation is a link that its owner hands over, and it counts once, for the
address that it was made for. Only a person who is signed in lets people in or out, never a key: one
that leaks must not be able to make itself at home.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from api import tenants
from api.db import enter_tenant
from api.errors import BadRequest, Forbidden, NotFound
from api.settings import settings
from api.tables import ApiKey, Invitation, Member, User, new_id, own
from api.tenants import Actor, Role


@dataclass(frozen=True, slots=True)
class Person:
    """A member, by name."""

    user_id: str
    email: str
    role: Role
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class Invited:
    """What a link says to whoever holds it, before they have joined."""

    id: str
    tenant_id: str
    tenant_name: str
    email: str
    role: Role
    expires_at: datetime


# -- members --------------------------------------------------------------------------------------


def members(session: Session, tenant_id: str) -> list[Person]:
    """Everybody in the tenant, in the order they came."""
    query = (
        select(Member.user_id, User.email, Member.role, Member.created_at)
        .join(User, User.id == Member.user_id)
        .where(Member.tenant_id == tenant_id)
        .order_by(Member.created_at, Member.user_id)
    )
    return [
        Person(user_id, email, role_of(role), joined_at)
        for user_id, email, role, joined_at in session.execute(query)
    ]


def member(session: Session, tenant_id: str, user_id: str) -> Person:
    """Raises NotFound."""
    row = own(session, Member, user_id, tenant_id=tenant_id)
    email = session.execute(select(User.email).where(User.id == user_id)).scalar_one()
    return Person(row.user_id, email, role_of(row.role), row.created_at)


def set_role(session: Session, actor: Actor, user_id: str, role: Role) -> Person:
    """Raises NotFound, Forbidden, BadRequest for the last owner."""
    own(session, Member, user_id, tenant_id=actor.tenant_id)
    owners = _owners(session, actor)
    if role != "owner":
        _refuse_last_owner(owners, user_id)
        _revoke_invitations_of(session, actor.tenant_id, user_id)
    session.execute(
        update(Member)
        .where(Member.tenant_id == actor.tenant_id, Member.user_id == user_id)
        .values(role=role)
    )
    session.expire_all()  # by now they may have been removed
    return member(session, actor.tenant_id, user_id)


def remove(session: Session, actor: Actor, user_id: str) -> None:
    """They are out at once: their sessions in this tenant end, the keys they made are revoked, and
    so are the invitations they gave out. Everybody may remove themselves."""
    own(session, Member, user_id, tenant_id=actor.tenant_id)
    owners = _owners(session, actor, leaving=user_id)
    _refuse_last_owner(owners, user_id)
    session.execute(
        update(ApiKey)
        .where(
            ApiKey.tenant_id == actor.tenant_id,
            ApiKey.created_by == user_id,
            ApiKey.revoked_at.is_(None),
        )
        .values(revoked_at=func.now())
    )
    _revoke_invitations_of(session, actor.tenant_id, user_id)
    session.execute(  # and, by foreign key, of the sessions
        delete(Member).where(Member.tenant_id == actor.tenant_id, Member.user_id == user_id)
    )


# -- invitations ----------------------------------------------------------------------------------


def invite(session: Session, actor: Actor, *, email: str, role: Role) -> tuple[Invitation, str]:
    """An invitation and its token, which is shown this once; an earlier one of the address is
    revoked. Raises Forbidden, BadRequest."""
    _owners(session, actor)
    address = tenants.checked_email(email)
    if any(person.email == address for person in members(session, actor.tenant_id)):
        raise BadRequest(f"{address} is a member already.", code="already_member", param="email")
    session.execute(
        update(Invitation)
        .where(*_open(actor.tenant_id), Invitation.email == address)
        .values(revoked_at=func.now())
    )
    count = session.execute(select(func.count()).where(*_open(actor.tenant_id))).scalar_one()
    if count >= settings().invitations_max:
        raise BadRequest(
            f"{count} invitations are open, and {settings().invitations_max} is the most "
            "(invitations_max). Revoke some first.",
            code="invitations_max",
        )
    token = secrets.token_urlsafe(32)
    row = Invitation(
        id=new_id("invite-"),
        tenant_id=actor.tenant_id,
        email=address,
        role=role,
        token_hash=_sha256(token),
        created_by=actor.user_id,
        expires_at=datetime.now(UTC) + timedelta(days=settings().invitation_days),
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    return row, token


def invitations(session: Session, tenant_id: str) -> list[Invitation]:
    """Those that nobody has accepted or revoked, expired ones too, newest first."""
    query = select(Invitation).where(*_open(tenant_id)).order_by(Invitation.created_at.desc())
    return list(session.execute(query).scalars())


def revoke_invitation(session: Session, actor: Actor, invitation_id: str) -> None:
    """The link leads nowhere from now on; one that was accepted stays so."""
    row = own(session, Invitation, invitation_id, tenant_id=actor.tenant_id, lock=True)
    _owners(session, actor)
    if row.accepted_at is None:
        row.revoked_at = row.revoked_at or datetime.now(UTC)


def invited(session: Session, token: str) -> Invited:
    """What the link says. Raises NotFound where it leads nowhere (anonymous transaction)."""
    row = session.execute(
        text("SELECT * FROM find_invitation(:hash)"), {"hash": _sha256(token)}
    ).one_or_none()
    if row is None or row.expires_at <= datetime.now(UTC):
        raise _leads_nowhere()
    return Invited(*row)


def join(session: Session, *, token: str, password: str, user_agent: str = "") -> tuple[Actor, str]:
    """The person and a session in the tenant that invited them. Who has no account yet gets one
    with this password; who has one proves by it that it is theirs (anonymous transaction)."""
    invitation = invited(session, token)
    account = tenants.prove(session, invitation.email, password)
    user_id = (
        account.user_id if account else tenants.add_account(session, invitation.email, password)
    )
    enter_tenant(session, invitation.tenant_id)
    accepted = session.execute(
        update(Invitation)
        .where(*_open(invitation.tenant_id), Invitation.id == invitation.id)
        .values(accepted_at=func.now())
        .returning(Invitation.role)
    ).scalar_one_or_none()
    if accepted is None:  # used by another request meanwhile, or revoked
        raise _leads_nowhere()
    session.execute(
        upsert(Member)
        .values(tenant_id=invitation.tenant_id, user_id=user_id, role=accepted)
        .on_conflict_do_nothing()
    )
    actor = Actor(tenant_id=invitation.tenant_id, user_id=user_id)
    return actor, tenants.open_session(session, actor, user_agent=user_agent)


# -- below the verbs ------------------------------------------------------------------------------


def _owners(session: Session, actor: Actor, *, leaving: str | None = None) -> set[str]:
    """The tenant's owners, locked against change. Raises Forbidden where the actor is none of them
    (but to leave), or a key."""
    if actor.key_id is not None:
        raise Forbidden(
            "Members are let in and out by a person who is signed in, not by an API key.",
            code="session_needed",
        )
    query = (
        select(Member.user_id)
        .where(Member.tenant_id == actor.tenant_id, Member.role == "owner")
        .order_by(Member.user_id)
        .with_for_update(key_share=True)
    )
    owners = set(session.execute(query).scalars())
    if actor.user_id not in owners and actor.user_id != leaving:
        raise Forbidden("Only an owner of the tenant may do this.", code="owners_only")
    return owners


def _refuse_last_owner(owners: set[str], user_id: str) -> None:
    if owners == {user_id}:
        raise BadRequest(
            "This is the tenant's last owner. Make somebody else an owner first.",
            code="last_owner",
        )


def _revoke_invitations_of(session: Session, tenant_id: str, user_id: str) -> None:
    session.execute(
        update(Invitation)
        .where(*_open(tenant_id), Invitation.created_by == user_id)
        .values(revoked_at=func.now())
    )


def _open(tenant_id: str) -> tuple[ColumnElement[bool], ...]:
    return (
        Invitation.tenant_id == tenant_id,
        Invitation.accepted_at.is_(None),
        Invitation.revoked_at.is_(None),
    )


def _leads_nowhere() -> NotFound:
    return NotFound(
        "This invitation was used, revoked or replaced, or its time is over. Ask for a new one.",
        code="invalid_invitation",
        param="token",
    )


def role_of(role: str) -> Role:
    return "owner" if role == "owner" else "member"


def _sha256(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

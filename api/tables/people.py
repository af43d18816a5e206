"""Tenants, the people in them, and what they sign in with."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column, synonym

from api.tables.base import Base, now, tenant


class Tenant(Base):
    """`limits` are overrides by the names of `api.quotas.Limits`; only the operator writes them.
    Below `low_balance_credits` the tenant is alerted; the setting of that name where it is NULL."""

    __tablename__ = "tenants"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    slug: Mapped[str] = mapped_column(unique=True)
    limits: Mapped[dict[str, Any]] = mapped_column(
        server_default=text("'{}'::jsonb"), comment="overrides; only the operator writes them"
    )
    low_balance_credits: Mapped[int | None]
    created_at: Mapped[datetime] = now()


class User(Base):
    """A person; what they may see hangs on their memberships, and for an operator on the flag."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    operator: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = now()
    __table_args__ = (CheckConstraint("email = lower(email)", name="email_lower"),)


class Member(Base):
    __tablename__ = "members"
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True, index=True)
    role: Mapped[str]
    created_at: Mapped[datetime] = now()
    id = synonym("user_id")  # within a tenant, a member is named by the person
    __table_args__ = (CheckConstraint("role IN ('owner', 'member')", name="role"),)


class Invitation(Base):
    """A link that makes whoever holds it, and the address, a member. Only its hash is kept."""

    __tablename__ = "invitations"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = tenant()
    email: Mapped[str]
    role: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    created_by: Mapped[str] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = now()
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("role IN ('owner', 'member')", name="role"),
        CheckConstraint("email = lower(email)", name="email_lower"),
        Index(
            "uq_invitations_open",
            "tenant_id",
            "email",
            unique=True,
            postgresql_where=text("accepted_at IS NULL AND revoked_at IS NULL"),
        ),
    )


class SignInSession(Base):
    """A browser that is signed in, in a tenant that its person is a member of: it ends with the
    membership. Only the hash of its token is kept."""

    __tablename__ = "sessions"
    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = tenant()
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    user_agent: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = now()
    seen_at: Mapped[datetime] = now()
    expires_at: Mapped[datetime]
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["members.tenant_id", "members.user_id"],
            ondelete="CASCADE",
        ),
        Index(None, "tenant_id", "user_id"),
    )


class ApiKey(Base):
    """Shown once; only its hash is kept, with the ends that let a person recognise it.

    `budget_credits` is the most the key may ever spend, `month_budget_credits` in a month."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = tenant()
    created_by: Mapped[str] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str]
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    prefix: Mapped[str]
    last4: Mapped[str]
    created_at: Mapped[datetime] = now()
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    budget_credits: Mapped[int | None]
    month_budget_credits: Mapped[int | None]
    __table_args__ = (
        CheckConstraint("budget_credits >= 0 AND month_budget_credits >= 0", name="budgets"),
        Index(None, "tenant_id", "created_at"),
    )

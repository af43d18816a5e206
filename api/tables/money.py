"""The ledger's two tables, and the vouchers that feed it.

Nobody who works here may change a row of these: the application and the workers insert transfers
by `ledger_hold` and `ledger_settle` (migration 0006), and redeem by `redeem_voucher` (0003).
"""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.tables.base import Base, now, tenant


class Account(Base):
    """A side of the ledger: a tenant's grant, or one of the house's own.

    Only grants keep running sums (the CHECK that they never go below zero needs them); a house
    account's balance is the sum of its transfers, or every tenant would queue for its row. What is
    fixed is the law of a trigger, `account_fault` (migration 0006): a CHECK of it would be read
    again whenever a sum changes.
    """

    __tablename__ = "ledger_accounts"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str | None] = mapped_column(ForeignKey("tenants.id"))
    kind: Mapped[str]
    grant_kind: Mapped[str | None]
    priority: Mapped[int] = mapped_column(server_default="50")  # the lowest is spent first
    starts_at: Mapped[datetime] = now()
    expires_at: Mapped[datetime | None]
    debits_pending: Mapped[int] = mapped_column(server_default="0")
    debits_posted: Mapped[int] = mapped_column(server_default="0")
    credits_posted: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = now()
    __table_args__ = (
        CheckConstraint("debits_pending >= 0 AND debits_posted >= 0", name="sums"),
        CheckConstraint("debits_pending + debits_posted <= credits_posted", name="never_negative"),
        Index(None, "tenant_id", "priority", "expires_at", "created_at"),
    )


class Transfer(Base):
    """One debit and one credit, append-only; one side is a tenant's grant, the other the house's.

    A hold is a transfer of kind `hold`; it moves nothing until the one `settle` or `release` that
    names it in `hold_id`. The id is the idempotency key (an act over several grants numbers its
    rows), `input_hash` is of what was asked under that key; empty from before there were keys.
    `seq` orders a tenant's statement: a wallet's acts take theirs under its lock. What a transfer
    must be is the law of a trigger, `transfer_fault` (migration 0006), not of CHECKs: PostgreSQL
    reads those anew for every transfer, which was a fifth of its cost.
    """

    __tablename__ = "ledger_transfers"
    id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(Identity(always=True))
    # Foreign keys would lock three rows for every transfer, the house's one among them. The trigger
    # knows the house's accounts by name and must find the tenant's grant and the hold; none of them
    # can be deleted.
    tenant_id: Mapped[str]
    debit_id: Mapped[str]
    credit_id: Mapped[str]
    amount: Mapped[int]
    kind: Mapped[str]
    hold_id: Mapped[str | None]
    corrects_id: Mapped[str | None] = mapped_column(ForeignKey("ledger_transfers.id"))
    timeout_at: Mapped[datetime | None]
    input_hash: Mapped[bytes]
    subject: Mapped[str]
    reason: Mapped[str]
    actor: Mapped[str]
    created_at: Mapped[datetime] = now()
    __table_args__ = (
        Index(
            "uq_ledger_transfers_one_resolution",
            "hold_id",
            unique=True,
            postgresql_where=text("hold_id IS NOT NULL"),
        ),
        Index(None, "tenant_id", "subject"),
        Index(None, "tenant_id", "seq"),
    )


class Campaign(Base):
    """What its vouchers give, to whom, and how much in all. The operator's; no tenant reads it.

    Sign-up and referral credits are campaigns too, with an amount of 0: the settings name theirs.
    """

    __tablename__ = "voucher_campaigns"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str] = mapped_column(server_default="voucher")
    amount: Mapped[int]
    priority: Mapped[int] = mapped_column(server_default="50")
    days: Mapped[int | None] = mapped_column(comment="until what was granted expires")
    starts_at: Mapped[datetime] = now()
    ends_at: Mapped[datetime | None]
    credits_max: Mapped[int | None] = mapped_column(comment="the budget, in micro-credits")
    redemptions_max: Mapped[int | None]
    tenant_max: Mapped[int] = mapped_column(server_default="1", comment="redemptions a tenant")
    user_max: Mapped[int | None] = mapped_column(comment="redemptions a person")
    first_only: Mapped[bool] = mapped_column(server_default=text("false"))
    email_domains: Mapped[list[str]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    credits: Mapped[int] = mapped_column(server_default="0", comment="given so far")
    redemptions: Mapped[int] = mapped_column(server_default="0")
    created_by: Mapped[str]
    created_at: Mapped[datetime] = now()
    revoked_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("kind IN ('voucher', 'sign_up', 'referral')", name="kind"),
        CheckConstraint("amount > 0 OR (amount = 0 AND kind <> 'voucher')", name="amount"),
        CheckConstraint("days > 0 AND tenant_max > 0 AND user_max > 0", name="limits"),
        CheckConstraint("ends_at > starts_at", name="period"),
        CheckConstraint("credits >= 0 AND credits <= credits_max", name="credits_max"),
        CheckConstraint(
            "redemptions >= 0 AND redemptions <= redemptions_max", name="redemptions_max"
        ),
    )


class VoucherCode(Base):
    """A code as its hash; whoever holds the clear one may redeem it, `max_redemptions` times."""

    __tablename__ = "voucher_codes"
    id: Mapped[str] = mapped_column(primary_key=True)
    campaign_id: Mapped[str] = mapped_column(ForeignKey("voucher_campaigns.id"), index=True)
    code_hash: Mapped[bytes] = mapped_column(unique=True)
    max_redemptions: Mapped[int] = mapped_column(server_default="1")
    redeemed: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = now()
    revoked_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("redeemed >= 0 AND redeemed <= max_redemptions", name="redeemed"),
    )


class Redemption(Base):
    """What a campaign gave a tenant, once: the grant and the code it came by (none: built in)."""

    __tablename__ = "voucher_redemptions"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = tenant()
    campaign_id: Mapped[str] = mapped_column(ForeignKey("voucher_campaigns.id"))
    code_id: Mapped[str | None] = mapped_column(ForeignKey("voucher_codes.id"))
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    grant_id: Mapped[str] = mapped_column(ForeignKey("ledger_accounts.id"), unique=True)
    amount: Mapped[int]
    created_at: Mapped[datetime] = now()
    __table_args__ = (
        UniqueConstraint("code_id", "tenant_id"),
        Index(None, "tenant_id", "created_at"),
        Index(None, "campaign_id", "tenant_id"),
        Index(None, "campaign_id", "user_id"),
    )


class Referral(Base):
    """Who brought a tenant here; both are rewarded once, when its first job has succeeded."""

    __tablename__ = "referrals"
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    referrer_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    created_at: Mapped[datetime] = now()
    rewarded_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("tenant_id <> referrer_id", name="two"),
        Index("ix_referrals_waiting", "created_at", postgresql_where=text("rewarded_at IS NULL")),
    )


class Spending(Base):
    """What somebody (a key or a person) holds and was charged of what was held on a day, in UTC.

    Kept by the trigger of `ledger_transfers` (migration 0006); nobody else writes it.
    """

    __tablename__ = "spending"
    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    actor: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    held: Mapped[int] = mapped_column(server_default="0")
    charged: Mapped[int] = mapped_column(server_default="0")
    __table_args__ = (Index(None, "tenant_id", "day"),)


class CreditAlert(Base):
    """The balance fell below the tenant's threshold; one until it has recovered."""

    __tablename__ = "credit_alerts"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = tenant()
    threshold: Mapped[int]
    available: Mapped[int]
    created_at: Mapped[datetime] = now()
    recovered_at: Mapped[datetime | None]
    __table_args__ = (
        Index(None, "tenant_id", "created_at"),
        Index(
            "uq_credit_alerts_open",
            "tenant_id",
            unique=True,
            postgresql_where=text("recovered_at IS NULL"),
        ),
    )

"""What an operator sees. Amounts are micro-credits; `text` has each as people read it."""

from typing import Literal

from api.quotas import Use
from api.routes.shapes import Paged, Shape
from api.routes.shapes.credits import GrantKind, LimitValues


class TenantText(Shape):
    available: str
    held: str
    spent: str
    refunded: str


class Tenant(Shape):
    """A tenant in numbers. `limits` are its overrides; `spent` is before refunds."""

    object: Literal["tenant"]
    id: str
    name: str
    slug: str
    created_at: int
    limits: dict[str, int]
    members: int
    jobs: int
    running_jobs: int
    storage_bytes: int
    available: int
    held: int
    spent: int
    refunded: int
    text: TenantText


class TenantList(Paged):
    data: list[Tenant]


class TenantGrantText(Shape):
    granted: str
    left: str
    held: str


class TenantGrant(Shape):
    id: str
    kind: GrantKind
    reason: str
    expires_at: int | None
    granted: int
    left: int
    held: int
    text: TenantGrantText


class TenantDetail(Tenant):
    """A tenant with what holds for it, what it uses of that, and its grants."""

    effective_limits: LimitValues
    used: Use
    grants: list[TenantGrant]


class TenantLimits(LimitValues):
    """What holds now; `overrides` has what differs from the service's own."""

    object: Literal["limits"]
    tenant_id: str
    overrides: dict[str, int]


class MovedText(Shape):
    amount: str
    available: str
    held: str


class MovedCredits(Shape):
    """An act of the operator's, and what the tenant has after it."""

    object: Literal["grant", "refund", "correction"]
    id: str
    tenant_id: str
    amount: int
    available: int
    held: int
    text: MovedText


class CampaignText(Shape):
    amount: str
    credits: str


class Campaign(Shape):
    """A voucher campaign: what each redemption grants, its limits, and what was redeemed."""

    object: Literal["campaign"]
    id: str
    name: str
    kind: Literal["voucher", "sign_up", "referral"]
    priority: int
    days: int | None
    credits_max: int | None
    redemptions_max: int | None
    tenant_max: int
    user_max: int | None
    first_only: bool
    email_domains: list[str]
    redemptions: int
    created_by: str
    created_at: int
    starts_at: int
    ends_at: int | None
    revoked_at: int | None
    amount: int
    credits: int
    text: CampaignText


class CampaignList(Shape):
    object: Literal["list"]
    data: list[Campaign]


class PerformanceText(Shape):
    granted: str
    spent: str
    left: str


class Performance(Shape):
    """What came of a campaign. `first_jobs`: tenants whose first finished job followed it."""

    codes: int
    codes_used: int
    redemptions: int
    granted: int
    tenants: int
    first_jobs: int
    spent: int
    left: int
    text: PerformanceText


class CampaignDetail(Campaign):
    performance: Performance


class VoucherCode(Shape):
    """How often a code was used. The code itself is not kept."""

    id: str
    object: Literal["voucher_code"]
    max_redemptions: int
    redeemed: int
    created_at: int
    revoked_at: int | None


class VoucherCodeList(Shape):
    object: Literal["list"]
    data: list[VoucherCode]


class ClearCode(Shape):
    id: str
    code: str


class ClearCodeList(Shape):
    """New codes, which are in this answer and never again."""

    object: Literal["list"]
    data: list[ClearCode]


class RevokedCode(Shape):
    id: str
    object: Literal["voucher_code"]
    revoked: Literal[True]


class LedgerFinding(Shape):
    """A row that breaks an invariant, and how."""

    invariant: str
    row: str
    what: str


class LedgerCheck(Shape):
    object: Literal["ledger_check"]
    right: bool
    invariants: list[str]
    findings: list[LedgerFinding]

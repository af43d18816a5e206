"""What whoever runs the service asks and does, over every tenant. Nobody else comes in.

Each act that moves credits has a key: the Idempotency-Key header, or one of its own.
"""

from dataclasses import asdict
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Header, Response
from pydantic import AwareDatetime, Field

from api import alerts, ledger, operators, quotas, vouchers
from api.money import with_text
from api.routes.door import InSystem, Limit, Operator, listed, unix
from api.routes.shapes import admin as shapes
from api.routes.sheet import AsCsv, sheet
from api.spec import Frozen
from api.tables import Campaign, VoucherCode, new_id

router = APIRouter(prefix="/admin", tags=["admin"])

IdempotencyKey = Annotated[str | None, Header(max_length=200)]
Amount = Annotated[int, Field(gt=0, lt=2**62, description="micro-credits")]
Count = Annotated[int, Field(gt=0, lt=2**31)]
Words = Annotated[str, Field(min_length=1, max_length=200)]


class NewGrant(Frozen):
    amount: Amount
    reason: Words
    kind: Literal["admin", "purchase"] = "admin"
    starts_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None


class NewRefund(Frozen):
    subject: Words = Field(description="the job or chat turn that was charged")
    amount: Amount
    reason: Words


class NewCorrection(Frozen):
    grant_id: Words
    amount: Amount
    reason: Words


class NewCampaign(Frozen):
    name: Words
    amount: Amount
    priority: Annotated[int, Field(ge=0, le=1_000)] = 50
    days: Count | None = None
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None
    credits_max: Amount | None = None
    redemptions_max: Count | None = None
    tenant_max: Count = 1
    user_max: Count | None = None
    first_only: bool = False
    email_domains: Annotated[list[Words], Field(max_length=100)] | None = None


class NewCodes(Frozen):
    count: Count
    max_redemptions: Count = 1


# -- tenants --------------------------------------------------------------------------------------


@router.get("/tenants")
def list_tenants(session: InSystem, limit: Limit, after: str | None = None) -> shapes.TenantList:
    """Newest first, with what each has, holds, spent and stores."""
    found = operators.tenants(session, after=after, limit=limit)
    return listed([_tenant(each) for each in found], limit)


@router.get("/tenants/{tenant_id}")
def retrieve_tenant(tenant_id: str, session: InSystem) -> shapes.TenantDetail:
    """One tenant: its totals, its limits and what it uses of them, its grants."""
    overview = operators.tenants(session, limit=1, tenant_id=tenant_id)[0]
    found = {
        **_tenant(overview),
        "effective_limits": quotas.limits(session, tenant_id).model_dump(),
        "used": quotas.use(session, tenant_id),
        "grants": [
            {
                "id": each.id,
                "kind": each.kind,
                "reason": each.reason,
                "expires_at": unix(each.expires_at),
                **with_text({"granted": each.granted, "left": each.left, "held": each.held}),
            }
            for each in ledger.grants(session, tenant_id)
        ],
    }
    return cast("shapes.TenantDetail", found)


@router.post("/tenants/{tenant_id}/limits")
def set_limits(tenant_id: str, body: quotas.Overrides, session: InSystem) -> shapes.TenantLimits:
    """Override the limits that are named; null takes an override back."""
    found = quotas.override(session, tenant_id, body)
    kept = quotas.overrides(session, tenant_id)
    whole = {"object": "limits", "tenant_id": tenant_id, "overrides": kept, **found.model_dump()}
    return cast("shapes.TenantLimits", whole)


@router.post("/tenants/{tenant_id}/grants", status_code=201)
def grant(
    tenant_id: str,
    body: NewGrant,
    actor: Operator,
    session: InSystem,
    idempotency_key: IdempotencyKey = None,
) -> shapes.MovedCredits:
    """Give a tenant credits."""
    operators.known(session, tenant_id)
    grant_id = ledger.grant(
        session,
        tenant_id,
        body.amount,
        grant_id=f"grant/operator/{tenant_id}/{_key(idempotency_key)}",
        reason=body.reason,
        actor=actor.name,
        kind=body.kind,
        starts_at=body.starts_at,
        expires_at=body.expires_at,
    )
    return _moved(session, tenant_id, "grant", grant_id, body.amount)


@router.post("/tenants/{tenant_id}/refunds", status_code=201)
def refund(
    tenant_id: str,
    body: NewRefund,
    actor: Operator,
    session: InSystem,
    idempotency_key: IdempotencyKey = None,
) -> shapes.MovedCredits:
    """Give back what a job or chat turn was charged, or part of it."""
    operators.known(session, tenant_id)
    grant_id = ledger.refund(
        session,
        tenant_id,
        body.amount,
        subject=body.subject,
        key=_key(idempotency_key),
        reason=body.reason,
        actor=actor.name,
    )
    return _moved(session, tenant_id, "refund", grant_id, body.amount)


@router.post("/tenants/{tenant_id}/corrections", status_code=201)
def correct(
    tenant_id: str,
    body: NewCorrection,
    actor: Operator,
    session: InSystem,
    idempotency_key: IdempotencyKey = None,
) -> shapes.MovedCredits:
    """Take back from a grant what should not have been given, as far as it is left."""
    operators.known(session, tenant_id)
    transfer_id = ledger.correct(
        session,
        tenant_id,
        body.amount,
        grant_id=body.grant_id,
        key=_key(idempotency_key),
        reason=body.reason,
        actor=actor.name,
    )
    return _moved(session, tenant_id, "correction", transfer_id, body.amount)


# -- vouchers -------------------------------------------------------------------------------------


@router.get("/campaigns")
def list_campaigns(session: InSystem) -> shapes.CampaignList:
    return {"object": "list", "data": [_campaign(row) for row in vouchers.campaigns(session)]}


@router.post("/campaigns", status_code=201)
def create_campaign(body: NewCampaign, actor: Operator, session: InSystem) -> shapes.Campaign:
    """A campaign, still without codes."""
    return _campaign(vouchers.create_campaign(session, actor=actor.name, **body.model_dump()))


@router.get("/campaigns/{campaign_id}")
def retrieve_campaign(campaign_id: str, session: InSystem) -> shapes.CampaignDetail:
    """The campaign and what came of it."""
    campaign, came = operators.performance(session, campaign_id)
    found = asdict(came)
    money = {name: found[name] for name in ("granted", "spent", "left")}
    performance = cast("shapes.Performance", {**found, **with_text(money)})
    return {**_campaign(campaign), "performance": performance}


@router.post("/campaigns/{campaign_id}/revoke")
def revoke_campaign(campaign_id: str, session: InSystem) -> shapes.Campaign:
    """From now on its codes give nothing; what was granted stays."""
    vouchers.revoke_campaign(session, campaign_id)
    campaign, _ = operators.performance(session, campaign_id)
    session.refresh(campaign)
    return _campaign(campaign)


@router.get("/campaigns/{campaign_id}/codes")
def list_codes(campaign_id: str, session: InSystem) -> shapes.VoucherCodeList:
    """How often each code was used. The codes themselves are not kept."""
    operators.performance(session, campaign_id)
    return {"object": "list", "data": [_code(row) for row in vouchers.codes(session, campaign_id)]}


@router.post("/campaigns/{campaign_id}/codes", status_code=201, response_model=shapes.ClearCodeList)
def generate_codes(
    campaign_id: str, body: NewCodes, session: InSystem, as_csv: AsCsv
) -> shapes.ClearCodeList | Response:
    """New codes. They are in this answer, as JSON or CSV, and never again."""
    made = vouchers.generate_codes(
        session, campaign_id, count=body.count, max_redemptions=body.max_redemptions
    )
    if as_csv:
        answer = sheet("codes", ("code", "id"), ((code, code_id) for code_id, code in made))
        answer.status_code = 201
        return answer
    return {"object": "list", "data": [{"id": code_id, "code": code} for code_id, code in made]}


@router.post("/codes/{code_id}/revoke")
def revoke_code(code_id: str, session: InSystem) -> shapes.RevokedCode:
    """A code that got about gives nothing any more."""
    vouchers.revoke_code(session, code_id)
    return {"id": code_id, "object": "voucher_code", "revoked": True}


# -- the books ------------------------------------------------------------------------------------


@router.get("/ledger/check")
def check_ledger(session: InSystem) -> shapes.LedgerCheck:
    """Every invariant over the whole database, in one moment of it, and the rows that break one."""
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    findings = ledger.check(session)
    return {
        "object": "ledger_check",
        "right": not findings,
        "invariants": list(ledger.INVARIANTS),
        "findings": [
            {"invariant": each.invariant, "row": each.row, "what": each.what} for each in findings
        ],
    }


def _key(sent: str | None) -> str:
    return sent or new_id("")


def _moved(
    session: InSystem, tenant_id: str, kind: str, act_id: str, amount: int
) -> shapes.MovedCredits:
    alerts.watch(session, tenant_id)
    found = ledger.balance(session, tenant_id)
    amounts = {"amount": amount, "available": found.available, "held": found.held}
    moved = {"object": kind, "id": act_id, "tenant_id": tenant_id, **with_text(amounts)}
    return cast("shapes.MovedCredits", moved)


def _tenant(overview: operators.Overview) -> shapes.Tenant:
    found = asdict(overview)
    money = {name: found[name] for name in ("available", "held", "spent", "refunded")}
    whole = {
        "object": "tenant",
        **found,
        "created_at": unix(overview.created_at),
        **with_text(money),
    }
    return cast("shapes.Tenant", whole)


def _campaign(row: Campaign) -> shapes.Campaign:
    limits: dict[str, Any] = {
        name: getattr(row, name)
        for name in (
            "priority", "days", "credits_max", "redemptions_max", "tenant_max", "user_max",
            "first_only", "email_domains", "redemptions", "created_by",
        )
    }  # fmt: skip
    found = {
        "object": "campaign",
        "id": row.id,
        "name": row.name,
        "kind": row.kind,
        **limits,
        "created_at": unix(row.created_at),
        "starts_at": unix(row.starts_at),
        "ends_at": unix(row.ends_at),
        "revoked_at": unix(row.revoked_at),
        **with_text({"amount": row.amount, "credits": row.credits}),
    }
    return cast("shapes.Campaign", found)


def _code(row: VoucherCode) -> shapes.VoucherCode:
    return {
        "id": row.id,
        "object": "voucher_code",
        "max_redemptions": row.max_redemptions,
        "redeemed": row.redeemed,
        "created_at": unix(row.created_at),
        "revoked_at": unix(row.revoked_at),
    }

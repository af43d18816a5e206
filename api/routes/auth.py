"""Sign up, in and out; who I am; API keys."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field, NonNegativeInt

from api import ledger, quotas, tenants
from api.db import enter_tenant
from api.routes.door import Anonymous, InTenant, Who, cookie_name, unix
from api.routes.shapes import people as shapes
from api.settings import settings
from api.spec import Frozen
from api.tables import ApiKey

router = APIRouter(tags=["account"])

Short = Annotated[str, Field(max_length=256)]


class SignUp(Frozen):
    email: Short
    password: Short
    tenant: Short
    referral: Short = Field(default="", description="the slug of the tenant that sent you")


class SignIn(Frozen):
    email: Short
    password: Short


class Budgets(Frozen):
    """In micro-credits; null: no limit. What is left out stays as it is."""

    budget_credits: NonNegativeInt | None = Field(default=None, description="ever")
    month_budget_credits: NonNegativeInt | None = Field(default=None, description="a month (UTC)")


class NewKey(Budgets):
    name: Short = "key"


@router.post("/auth/sign-up", status_code=201)
def sign_up(body: SignUp, request: Request, response: Response, session: Anonymous) -> shapes.Me:
    actor = tenants.sign_up(
        session,
        email=body.email,
        password=body.password,
        tenant_name=body.tenant,
        referral_code=body.referral,
    )
    set_cookie(response, tenants.open_session(session, actor, user_agent=_user_agent(request)))
    return own_account(session, actor)


@router.post("/auth/sign-in")
def sign_in(body: SignIn, request: Request, response: Response, session: Anonymous) -> shapes.Me:
    actor, token = tenants.sign_in(
        session, email=body.email, password=body.password, user_agent=_user_agent(request)
    )
    set_cookie(response, token)
    return own_account(session, actor)


@router.post("/auth/sign-out")
def sign_out(request: Request, response: Response, session: InTenant) -> shapes.SignedOut:
    if token := request.cookies.get(cookie_name()):
        tenants.sign_out(session, token)
    response.delete_cookie(cookie_name(), path="/")
    return {"signed_out": True}


@router.get("/me")
def me(actor: Who, session: InTenant) -> shapes.Me:
    return own_account(session, actor)


@router.get("/api_keys")
def list_keys(actor: Who, session: InTenant) -> shapes.ApiKeyList:
    return {"object": "list", "data": [_key(session, row) for row in tenants.keys(session, actor)]}


@router.post("/api_keys", status_code=201)
def make_key(body: NewKey, actor: Who, session: InTenant) -> shapes.NewApiKey:
    """The secret is in this answer and never again."""
    row, key = tenants.make_key(session, actor, name=body.name)
    budgets = body.model_dump(include=set(Budgets.model_fields))
    tenants.set_budgets(session, actor, row.id, budgets)
    session.refresh(row)
    return {**_key(session, row), "key": key}


@router.patch("/api_keys/{key_id}")
def set_budgets(
    key_id: str, actor: Who, session: InTenant, body: Budgets | None = None
) -> shapes.ApiKey:
    """What the key may spend from now on; what it holds or has spent counts."""
    budgets = body.model_dump(exclude_unset=True) if body else {}
    return _key(session, tenants.set_budgets(session, actor, key_id, budgets))


@router.delete("/api_keys/{key_id}")
def revoke_key(key_id: str, actor: Who, session: InTenant) -> shapes.DeletedApiKey:
    tenants.revoke_key(session, actor, key_id)
    return {"id": key_id, "object": "api_key", "deleted": True}


def own_account(session: InTenant, actor: tenants.Actor) -> shapes.Me:
    """Who somebody is, in which tenant, and where else they may go."""
    enter_tenant(session, actor.tenant_id)
    user, tenant = tenants.user(session, actor)
    joined = tenants.memberships(session, actor)
    return {
        "user": {"id": user.id, "email": user.email},
        "tenant": {"id": tenant.id, "name": tenant.name, "slug": tenant.slug},
        "role": next(each.role for each in joined if each.id == tenant.id),
        "operator": user.operator,
        "tenants": [
            {"id": each.id, "name": each.name, "slug": each.slug, "role": each.role}
            for each in joined
        ],
        "credits": _credits(session, actor),
    }


def _credits(session: InTenant, actor: tenants.Actor) -> shapes.CreditTotals:
    found = ledger.balance(session, actor.tenant_id)
    return {"available": found.available, "held": found.held, "posted": found.posted}


def _key(session: InTenant, row: ApiKey) -> shapes.ApiKey:
    used = quotas.key_use(session, row.tenant_id, row.id)
    return {
        "id": row.id,
        "object": "api_key",
        "name": row.name,
        "redacted": f"{row.prefix}…{row.last4}",
        "created_at": unix(row.created_at),
        "used_at": unix(row.used_at),
        "budget_credits": row.budget_credits,
        "month_budget_credits": row.month_budget_credits,
        "spent_credits": used.credits,
        "month_spent_credits": used.credits_this_month,
    }


def _user_agent(request: Request) -> str:
    return request.headers.get("user-agent", "")


def set_cookie(response: Response, token: str) -> None:
    response.set_cookie(
        cookie_name(),
        token,
        max_age=settings().session_days_max * 86_400,
        path="/",
        httponly=True,
        secure=settings().public_url.startswith("https:"),
        samesite="lax",
    )

"""Credits: balance, statement, usage, receipts, vouchers, the alert, and what limits there are.

Amounts are micro-credits (1 credit = 1,000,000); `text` has each as the portal and the `tunery`
command show it.
"""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api import alerts, ledger, quotas, tenants, usage, vouchers
from api.errors import BadRequest
from api.money import credits_text, with_text
from api.routes.door import InTenant, Limit, Who, listed, unix
from api.routes.shapes import credits as shapes
from api.routes.sheet import AsCsv, sheet
from api.settings import settings
from api.spec import Frozen

router = APIRouter(tags=["credits"])

Since = Annotated[datetime | None, Field(description="ISO 8601 or Unix seconds; UTC")]


class Redeem(Frozen):
    code: Annotated[str, Field(max_length=100)]


class Alert(Frozen):
    """`threshold` in micro-credits: 0 never alerts, null is the service's own."""

    threshold: Annotated[int, Field(ge=0, lt=2**62)] | None


@router.get("/credits")
def balance(actor: Who, session: InTenant) -> shapes.Credits:
    """The balance, the grants that are not used up in the order they are spent, and the alert."""
    found = ledger.balance(session, actor.tenant_id)
    amounts = {"available": found.available, "held": found.held, "posted": found.posted}
    whole = {
        "object": "balance",
        **with_text(amounts),
        **_low_balance(session, actor.tenant_id, found.available),
        "grants": [
            _grant(each)
            for each in ledger.grants(session, actor.tenant_id)
            if each.left or each.held
        ],
    }
    return cast("shapes.Credits", whole)


@router.post("/credits/alert")
def set_alert(body: Alert, actor: Who, session: InTenant) -> shapes.CreditAlert:
    """An owner's choice of when the tenant is told that its credits run low."""
    tenants.refuse_others_than_owners(session, actor)
    alerts.set_threshold(session, actor.tenant_id, body.threshold)
    available = ledger.balance(session, actor.tenant_id).available
    return {"object": "credit_alert", **_low_balance(session, actor.tenant_id, available)}


@router.get("/credits/statement", response_model=shapes.Statement)
def statement(
    actor: Who,
    session: InTenant,
    limit: Limit,
    as_csv: AsCsv,
    after: str | None = None,
    order: Literal["asc", "desc"] = "desc",
    since: Since = None,
    until: Since = None,
) -> shapes.Statement | Response:
    """Every entry of the ledger with the balance after it. As CSV: all of them at once."""
    most = settings().statement_rows_max if as_csv else limit
    entries = usage.statement(
        session,
        actor.tenant_id,
        after=after,
        limit=most,
        newest_first=order == "desc",
        since=since,
        until=until,
    )
    if not as_csv:
        return listed([_entry(each) for each in entries], limit)
    if len(entries) > most:
        raise BadRequest(
            f"There are more than {most:,} entries (statement_rows_max). Ask for a shorter time "
            "with `since` and `until`.",
            code="statement_rows_max",
        )
    return sheet("statement", _COLUMNS, (_row(each) for each in entries))


@router.get("/usage", response_model=shapes.Usage)
def usage_by(
    actor: Who,
    session: InTenant,
    as_csv: AsCsv,
    by: usage.By = usage.By.DAY,
    since: Since = None,
    until: Since = None,
) -> shapes.Usage | Response:
    """Tokens and credits of training and chat that have ended, and their sum."""
    rows = usage.usage(session, actor.tenant_id, by=by, since=since, until=until)
    if as_csv:
        columns = list(usage.Usage.__dataclass_fields__)
        return sheet(f"usage-by-{by}", columns, (list(asdict(row).values()) for row in rows))
    return {
        "object": "usage",
        "by": by,
        "data": [_usage(row) for row in rows],
        "total": _usage(usage.total(rows)),
    }


@router.get("/fine_tuning/jobs/{job_id}/receipt")
def receipt(job_id: str, actor: Who, session: InTenant) -> shapes.Receipt:
    """What the job cost and what that is made of."""
    found = asdict(usage.receipt(session, actor.tenant_id, job_id))
    money = ("rate", "quoted", "held", "charged", "returned", "refunded")
    moments = {name: unix(found[name]) for name in ("created_at", "started_at", "finished_at")}
    texts = {name: found[name] for name in money if found[name] is not None}
    whole = {"object": "receipt", **found, **moments, **with_text(texts)}
    return cast("shapes.Receipt", whole)


@router.post("/vouchers/redeem")
def redeem(body: Redeem, request: Request, actor: Who, session: InTenant) -> shapes.Redemption:
    """Turn a code into credits. The same code again gives the same answer and no more credits."""
    address = request.client.host if request.client else ""
    found = vouchers.redeem(session, actor.tenant_id, actor.user_id, body.code, address=address)
    alerts.watch(session, actor.tenant_id)
    return {
        "object": "redemption",
        "id": found.id,
        "grant_id": found.grant_id,
        "expires_at": unix(found.expires_at),
        "again": found.again,
        "amount": found.amount,
        "text": {"amount": credits_text(found.amount)},
    }


@router.get("/limits")
def limits(actor: Who, session: InTenant) -> shapes.Limits:
    """Every limit of the tenant and how much of it is used."""
    values = quotas.limits(session, actor.tenant_id).model_dump()
    used = quotas.use(session, actor.tenant_id)
    return cast("shapes.Limits", {"object": "limits", **values, "used": used})


def _low_balance(session: InTenant, tenant_id: str, available: int) -> shapes.LowBalance:
    threshold = alerts.threshold(session, tenant_id)
    alert = alerts.standing(session, tenant_id)
    return {
        "low_balance": available < threshold,
        "low_balance_threshold": threshold,
        "low_balance_since": unix(alert.created_at) if alert else None,
    }


def _grant(grant: ledger.Grant) -> shapes.Grant:
    amounts = {
        "granted": grant.granted,
        "left": grant.left,
        "held": grant.held,
        "available": grant.available,
    }
    found = {
        "id": grant.id,
        "kind": grant.kind,
        "reason": grant.reason,
        "priority": grant.priority,
        "created_at": unix(grant.created_at),
        "starts_at": unix(grant.starts_at),
        "expires_at": unix(grant.expires_at),
        **with_text(amounts),
    }
    return cast("shapes.Grant", found)


_AMOUNTS = ("amount", "returned", "available", "held")


def _entry(entry: usage.Entry) -> shapes.StatementEntry:
    found = asdict(entry)
    texts = with_text({name: found[name] for name in _AMOUNTS})
    return cast("shapes.StatementEntry", {**found, "at": unix(entry.at), **texts})


_COLUMNS = (
    "at", "type", "amount", "returned", "available", "held", "subject", "reason", "actor",
    "grant_id", "id", *(f"{name}_micro_credits" for name in _AMOUNTS),
)  # fmt: skip


def _row(entry: usage.Entry) -> list[object]:
    amounts = [getattr(entry, name) for name in _AMOUNTS]
    return [
        entry.at.isoformat(),
        entry.type,
        *(credits_text(amount) for amount in amounts),
        entry.subject,
        entry.reason,
        entry.actor,
        entry.grant_id,
        entry.id,
        *amounts,
    ]


def _usage(row: usage.Usage) -> shapes.UsageRow:
    found = asdict(row)
    money = ("training_credits", "chat_credits", "credits", "refunded")
    return cast("shapes.UsageRow", {**found, **with_text({name: found[name] for name in money})})

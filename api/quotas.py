"""What a tenant may use at most, what it uses, and the refusals that say so.

A limit is a setting of the same name, or the operator's override for one tenant
(`tenants.limits`). A key may have a budget beside them. Who asks for credits is checked under the
wallet's lock, against what is held and what was charged, so racing requests cannot pass together.
"""

import time
from typing import Any

import structlog
from pydantic import Field, NonNegativeInt
from sqlalchemy import func, select, text, union_all, update
from sqlalchemy.orm import Session

from api import bus
from api.errors import ErrorCode, InsufficientCredit, NotFound, RateLimited, TooLarge
from api.events import JobStatus
from api.ledger.acts import lock_wallet
from api.money import MicroCredits, credits_text
from api.settings import settings
from api.spec import Frozen
from api.tables import Adapter, ApiKey, Dataset, Job, Tenant, Upload

log = structlog.get_logger()

WAITING = (JobStatus.VALIDATING_FILES, JobStatus.QUEUED)
QUIET_SECONDS = 5.0
"""How long requests are not counted after Redis could not: none waits for it meanwhile."""

_quiet_until = 0.0


class Limits(Frozen):
    """What holds for one tenant. For the two of credits, in micro-credits, 0 is no limit."""

    queued_jobs_max: int
    running_jobs_max: int
    storage_bytes_max: int
    requests_per_minute_max: int
    credits_per_day_max: MicroCredits
    credits_per_month_max: MicroCredits


class Overrides(Frozen):
    """An operator's word for one tenant; what is null falls back to the setting of that name."""

    queued_jobs_max: NonNegativeInt | None = None
    running_jobs_max: NonNegativeInt | None = None
    storage_bytes_max: NonNegativeInt | None = None
    requests_per_minute_max: NonNegativeInt | None = None
    credits_per_day_max: NonNegativeInt | None = Field(
        default=None, description="micro-credits; 0: no limit"
    )
    credits_per_month_max: NonNegativeInt | None = Field(
        default=None, description="micro-credits; 0: no limit"
    )


class Use(Frozen):
    """What a tenant uses of its limits now. Of credits: what is held and what was charged."""

    queued_jobs: int
    running_jobs: int
    storage_bytes: int
    credits_today: MicroCredits
    credits_this_month: MicroCredits


class KeyUse(Frozen):
    """What a key holds and was charged, ever and in this month (UTC)."""

    credits: MicroCredits
    credits_this_month: MicroCredits


def limits(session: Session, tenant_id: str) -> Limits:
    return _limits(overrides(session, tenant_id))


def overrides(session: Session, tenant_id: str) -> dict[str, Any]:
    """The tenant's own limits. Raises NotFound."""
    query = select(Tenant.limits).where(Tenant.id == tenant_id)
    found: dict[str, Any] | None = session.execute(query).scalar_one_or_none()
    if found is None:
        raise NotFound(f"There is no tenant {tenant_id!r}.", param="tenant_id")
    return found


def override(session: Session, tenant_id: str, changes: Overrides) -> Limits:
    """Set the limits that `changes` names, and only those. System transaction, the operator's."""
    session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True))
    kept = overrides(session, tenant_id) | changes.model_dump(exclude_unset=True)
    kept = {name: value for name, value in kept.items() if value is not None}
    session.execute(update(Tenant).where(Tenant.id == tenant_id).values(limits=kept))
    return _limits(kept)


def use(session: Session, tenant_id: str) -> Use:
    """All that is counted for a tenant, but requests, which only Redis knows."""
    counted = session.execute(
        select(
            func.count().filter(Job.status.in_(WAITING)),
            func.count().filter(Job.status == JobStatus.RUNNING),
        ).where(Job.tenant_id == tenant_id)
    ).one()
    spent = _spending(session, tenant_id, "")
    return Use(
        queued_jobs=counted[0],
        running_jobs=counted[1],
        storage_bytes=storage_bytes(session, tenant_id),
        credits_today=spent.today,
        credits_this_month=spent.month,
    )


def key_use(session: Session, tenant_id: str, key_id: str) -> KeyUse:
    found = _spending(session, tenant_id, key_id)
    return KeyUse(credits=found.actor, credits_this_month=found.actor_month)


def storage_bytes(session: Session, tenant_id: str) -> int:
    """Files and tuned models that were not deleted, and files of which parts still come."""
    files = select(Dataset.bytes).where(
        Dataset.tenant_id == tenant_id, Dataset.deleted_at.is_(None)
    )
    models = select(Adapter.bytes).where(
        Adapter.tenant_id == tenant_id, Adapter.deleted_at.is_(None)
    )
    coming = select(Upload.bytes).where(Upload.tenant_id == tenant_id, Upload.status == "pending")
    every = union_all(files, models, coming).subquery()
    return int(session.execute(select(func.coalesce(func.sum(every.c.bytes), 0))).scalar_one())


# -- refusals -------------------------------------------------------------------------------------


def refuse_queue(session: Session, tenant_id: str) -> None:
    """Raises RateLimited where as many jobs wait as may. Submits of a tenant come one by one."""
    most = limits(session, tenant_id).queued_jobs_max
    query = select(func.count()).select_from(Job)
    waiting = session.execute(
        query.where(Job.tenant_id == tenant_id, Job.status.in_(WAITING))
    ).scalar_one()
    if waiting >= most:
        raise RateLimited(
            f"{waiting} of your jobs wait already, and {most} is the most (queued_jobs_max). "
            "Wait for one to start, or cancel one; your operator can raise it.",
            code="queued_jobs_max",
        )


def refuse_storage(session: Session, tenant_id: str, adding: int) -> None:
    """Raises TooLarge where `adding` bytes do not fit beside what is stored.

    Held until the transaction ends, so that racing uploads see each other.
    """
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('storage:' || :tenant, 0))"),
        {"tenant": tenant_id},
    )
    most, stored = limits(session, tenant_id).storage_bytes_max, storage_bytes(session, tenant_id)
    if stored + adding > most:
        raise TooLarge(
            f"{stored:,} bytes are stored and this file has {adding:,}; {most:,} is the most "
            "(storage_bytes_max). Delete files or tuned models, or ask your operator to raise it.",
            code="storage_bytes_max",
            param="file",
        )


def refuse_spending(session: Session, tenant_id: str, amount: MicroCredits, *, actor: str) -> None:
    """Raises InsufficientCredit where a hold of `amount` would pass a limit or a key's budget.

    Takes the wallet's lock where there is anything to pass, for the hold that follows.
    """
    found = limits(session, tenant_id)
    key = session.get(ApiKey, actor) if actor.startswith("key-") else None
    budgets = (key.budget_credits, key.month_budget_credits) if key else (None, None)
    caps = (found.credits_per_day_max or None, found.credits_per_month_max or None)
    if (*caps, *budgets) == (None, None, None, None):
        return
    lock_wallet(session, tenant_id)
    spent = _spending(session, tenant_id, actor)
    operator = "Ask your operator to raise it."
    owner = f"Someone signed in can raise it at PATCH /v1/api_keys/{actor}."
    checked: tuple[tuple[ErrorCode, str, MicroCredits | None, MicroCredits, str], ...] = (
        ("credits_per_day_max", "today", caps[0], spent.today, f"Wait until 0:00 UTC. {operator}"),
        ("credits_per_month_max", "in this month", caps[1], spent.month, operator),
        ("key_budget_credits", "by this API key", budgets[0], spent.actor, owner),
        (
            "key_month_budget_credits",
            "by this API key in this month",
            budgets[1],
            spent.actor_month,
            owner,
        ),
    )
    for name, what, most, so_far, how in checked:
        if most is not None and so_far + amount > most:
            raise InsufficientCredit(
                f"This needs {credits_text(amount)} credits, and {credits_text(so_far)} are held "
                f"or spent {what} of {credits_text(most)} ({name}). {how}",
                code=name,
            )


def count_request(tenant_id: str, most: int) -> None:
    """Raises RateLimited past `most` requests in this minute. Without Redis everybody passes."""
    global _quiet_until  # noqa: PLW0603 - one process, one memory of Redis being down
    if time.monotonic() < _quiet_until:
        return
    minute, second = divmod(int(time.time()), 60)
    count = bus.count_up(f"requests:{tenant_id}:{minute}", window_seconds=60)
    if count == 0:
        _quiet_until = time.monotonic() + QUIET_SECONDS
        log.warning("quotas.requests_not_counted", seconds=QUIET_SECONDS)
    elif count > most:
        raise RateLimited(
            f"{most:,} requests a minute is the most (requests_per_minute_max). Wait for "
            f"{60 - second} s; your operator can raise it.",
            code="requests_per_minute_max",
            headers={"retry-after": str(60 - second)},
        )


# -- below ----------------------------------------------------------------------------------------


def _limits(kept: dict[str, Any]) -> Limits:
    defaults = {name: getattr(settings(), name) for name in Limits.model_fields}
    return Limits.model_validate(defaults | kept)


class _Spending(Frozen):
    today: MicroCredits
    month: MicroCredits
    actor: MicroCredits
    actor_month: MicroCredits


_SPENDING = text("""
WITH days AS (
  SELECT (now() AT TIME ZONE 'UTC')::date AS today,
         date_trunc('month', now() AT TIME ZONE 'UTC')::date AS first
)
SELECT coalesce(sum(held + charged) FILTER (WHERE day = today), 0) AS today,
       coalesce(sum(held + charged) FILTER (WHERE day >= first), 0) AS month,
       coalesce(sum(held + charged) FILTER (WHERE actor = :actor), 0) AS actor,
       coalesce(sum(held + charged) FILTER (WHERE actor = :actor AND day >= first), 0)
         AS actor_month
FROM spending, days WHERE tenant_id = :tenant AND (day >= first OR actor = :actor)
""")


def _spending(session: Session, tenant_id: str, actor: str) -> _Spending:
    row = session.execute(_SPENDING, {"tenant": tenant_id, "actor": actor}).one()
    return _Spending(
        today=int(row.today),
        month=int(row.month),
        actor=int(row.actor),
        actor_month=int(row.actor_month),
    )

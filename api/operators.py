"""What whoever runs the service sees of it: tenants and their totals, campaigns, the queue.

System transactions, but for the look at who is asking. To be an operator is a flag on a person; no
request can set it, only `tunery operator` on the service's own machine.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from api.errors import Forbidden, NotFound
from api.events import JobStatus
from api.money import MicroCredits
from api.tables import Campaign, Dataset, Encoding, Job, Tenant, User


def refuse_others(session: Session, user_id: str) -> None:
    """Raises Forbidden for everybody who does not run this service (tenant's transaction)."""
    found = session.execute(select(User.operator).where(User.id == user_id)).scalar_one_or_none()
    if not found:
        raise Forbidden(
            "This is for whoever runs the service. `tunery operator EMAIL` on its own machine "
            "makes somebody one.",
            code="operators_only",
        )


def appoint(session: Session, email: str, *, operator: bool = True) -> None:
    """Make the person of that address an operator, or no longer one."""
    found = session.execute(
        update(User)
        .where(User.email == email.strip().lower())
        .values(operator=operator)
        .returning(User.id)
    ).scalar_one_or_none()
    if found is None:
        raise NotFound(f"There is no account for {email}.", param="email")


@dataclass(frozen=True, slots=True)
class Overview:
    """One tenant in numbers. `spent` is all that was ever charged, before refunds."""

    id: str
    name: str
    slug: str
    created_at: datetime
    limits: dict[str, int]
    members: int
    jobs: int
    running_jobs: int
    storage_bytes: int
    available: MicroCredits
    held: MicroCredits
    spent: MicroCredits
    refunded: MicroCredits


_OVERVIEW = """
WITH shown AS (
  SELECT * FROM tenants WHERE {where} ORDER BY created_at DESC, id DESC LIMIT :limit
)
SELECT s.id, s.name, s.slug, s.created_at, s.limits,
  (SELECT count(*) FROM members m WHERE m.tenant_id = s.id) AS members,
  j.jobs, j.running_jobs,
  (SELECT coalesce(sum(bytes), 0) FROM datasets d
   WHERE d.tenant_id = s.id AND d.deleted_at IS NULL)
  + (SELECT coalesce(sum(bytes), 0) FROM adapters a
     WHERE a.tenant_id = s.id AND a.deleted_at IS NULL)
  + (SELECT coalesce(sum(bytes), 0) FROM uploads u
     WHERE u.tenant_id = s.id AND u.status = 'pending') AS storage_bytes,
  a.available, a.held,
  (SELECT coalesce(sum(charged), 0) FROM spending p WHERE p.tenant_id = s.id) AS spent,
  (SELECT coalesce(sum(t.amount), 0) FROM ledger_accounts g
   JOIN ledger_transfers t ON t.id = 'post/' || g.id
   WHERE g.tenant_id = s.id AND g.grant_kind = 'refund') AS refunded
FROM shown s
CROSS JOIN LATERAL (
  SELECT count(*) AS jobs, count(*) FILTER (WHERE status = 'running') AS running_jobs
  FROM jobs WHERE tenant_id = s.id) j
CROSS JOIN LATERAL (
  SELECT coalesce(sum(credits_posted - debits_posted - debits_pending)
                  FILTER (WHERE starts_at <= now() AND (expires_at IS NULL OR expires_at > now())),
                  0) AS available,
         coalesce(sum(debits_pending), 0) AS held
  FROM ledger_accounts WHERE tenant_id = s.id) a
ORDER BY s.created_at DESC, s.id DESC
"""


def tenants(
    session: Session, *, after: str | None = None, limit: int, tenant_id: str | None = None
) -> list[Overview]:
    """Newest first, up to `limit` + 1 behind `after`; or the one named. Raises NotFound for it."""
    where = ["true"]
    if tenant_id is not None:
        where.append("id = :tenant")
    if after is not None:
        where.append("(created_at, id) < (SELECT created_at, id FROM tenants WHERE id = :after)")
    rows = session.execute(
        text(_OVERVIEW.format(where=" AND ".join(where))),
        {"tenant": tenant_id, "after": after, "limit": limit + 1},
    ).all()
    if tenant_id is not None and not rows:
        raise NotFound(f"There is no tenant {tenant_id!r}.", param="tenant_id")
    return [
        Overview(
            id=row.id,
            name=row.name,
            slug=row.slug,
            created_at=row.created_at,
            limits=row.limits,
            members=row.members,
            jobs=row.jobs,
            running_jobs=row.running_jobs,
            storage_bytes=int(row.storage_bytes),
            available=int(row.available),
            held=int(row.held),
            spent=int(row.spent),
            refunded=int(row.refunded),
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Performance:
    """What came of a campaign. `first_jobs`: tenants whose first finished job followed it."""

    codes: int
    codes_used: int
    redemptions: int
    granted: MicroCredits
    tenants: int
    first_jobs: int
    spent: MicroCredits
    left: MicroCredits


_PERFORMANCE = text("""
WITH r AS (SELECT * FROM voucher_redemptions WHERE campaign_id = :campaign),
brought AS (SELECT tenant_id, min(created_at) AS at FROM r GROUP BY tenant_id)
SELECT
  (SELECT count(*) FROM voucher_codes WHERE campaign_id = :campaign) AS codes,
  (SELECT count(*) FROM voucher_codes WHERE campaign_id = :campaign AND redeemed > 0)
    AS codes_used,
  (SELECT count(*) FROM r) AS redemptions,
  (SELECT coalesce(sum(amount), 0) FROM r) AS granted,
  (SELECT count(*) FROM brought) AS tenants,
  (SELECT count(*) FROM brought b WHERE b.at <= (
     SELECT min(finished_at) FROM jobs j WHERE j.tenant_id = b.tenant_id
       AND j.status = 'succeeded')) AS first_jobs,
  (SELECT coalesce(sum(t.amount), 0) FROM r JOIN ledger_transfers t
     ON t.debit_id = r.grant_id AND t.tenant_id = r.tenant_id AND t.kind = 'settle') AS spent,
  (SELECT coalesce(sum(a.credits_posted - a.debits_posted), 0) FROM r
   JOIN ledger_accounts a ON a.id = r.grant_id) AS left
""")


def performance(session: Session, campaign_id: str) -> tuple[Campaign, Performance]:
    """Raises NotFound."""
    campaign = session.get(Campaign, campaign_id)
    if campaign is None:
        raise NotFound(f"There is no campaign {campaign_id!r}.", param="campaign_id")
    row = session.execute(_PERFORMANCE, {"campaign": campaign_id}).one()
    return campaign, Performance(*(int(count) for count in row))


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job that runs or waits. `since`: when it came to its status."""

    id: str
    tenant_id: str
    tenant_name: str
    model: str
    status: JobStatus
    attempt: int
    crashes: int
    step: int
    total_steps: int
    created_at: datetime
    since: datetime
    not_before: datetime
    lease_expires_at: datetime | None
    worker: str | None


_QUEUE = text("""
SELECT j.id, j.tenant_id, t.name AS tenant_name, j.details->>'model' AS model, j.status, j.attempt,
  j.crash_count AS crashes, j.step, j.total_steps, j.created_at,
  coalesce(s.since, j.created_at) AS since, j.next_run_at AS not_before, j.lease_expires_at,
  j.lease_owner AS worker
FROM jobs j
JOIN tenants t ON t.id = j.tenant_id
LEFT JOIN LATERAL (
  SELECT max(e.created_at) AS since FROM job_events e WHERE e.job_id = j.id AND e.type = 'status'
) s ON true
WHERE j.status IN ('running', 'queued', 'validating_files')
ORDER BY array_position(ARRAY['running', 'queued', 'validating_files'], j.status), j.created_at,
  j.id
LIMIT :limit
""")


def queue(session: Session, *, limit: int | None = None) -> list[QueuedJob]:
    """Running jobs first, then those that wait, oldest first."""
    rows = session.execute(_QUEUE, {"limit": limit})
    return [QueuedJob(**{**row._mapping, "status": JobStatus(row.status)}) for row in rows]


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Over all tenants."""

    running: int
    queued: int
    validating_files: int


def queue_counts(session: Session) -> QueueCounts:
    query = select(Job.status, func.count()).group_by(Job.status)
    waiting = tuple(JobStatus(name) for name in ("running", "queued", "validating_files"))
    rows = session.execute(query.where(Job.status.in_(waiting)))
    found: dict[str, int] = {status: count for status, count in rows}  # noqa: C416 - typed rows
    return QueueCounts(*(found.get(status, 0) for status in waiting))


@dataclass(frozen=True, slots=True)
class Leases:
    """What is being read and encoded now."""

    files: int
    encodings: int


def leases(session: Session) -> Leases:
    held = [
        select(func.count()).where(table.lease_expires_at > func.now()).scalar_subquery()
        for table in (Dataset, Encoding)
    ]
    return Leases(*session.execute(select(*held)).one())


def known(session: Session, tenant_id: str) -> None:
    """Raises NotFound where there is no such tenant; nothing else says so before a grant."""
    if session.get(Tenant, tenant_id) is None:
        raise NotFound(f"There is no tenant {tenant_id!r}.", param="tenant_id")

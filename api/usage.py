"""What became of the credits: the statement, usage by what one asks for, a job's receipt.

Amounts are micro-credits as the ledger has them. Everything here reads and changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from api import ledger
from api.money import MicroCredits
from api.pricing import Quote
from api.tables import Adapter, Dataset, Encoding, Job, Transfer, own


@dataclass(frozen=True, slots=True)
class Entry:
    """One transfer as its tenant sees it, and what there was after it.

    `amount` is what moved: given, promised, charged, given back or gone. A settlement charges
    `amount` and gives back `returned` of what was held. Credits that start later count from when
    they were given, so `available` may be more than can be spent at that moment.
    """

    id: str
    at: datetime
    type: str  # grant, refund, hold, settle, release, expiry, correction
    amount: MicroCredits
    returned: MicroCredits
    available: MicroCredits
    held: MicroCredits
    subject: str
    reason: str
    actor: str
    grant_id: str


_STATEMENT = """
WITH entries AS (
  SELECT t.seq, t.id, t.created_at, t.subject, t.reason, t.actor,
    CASE WHEN t.kind <> 'post' THEN t.kind
         WHEN t.debit_id = 'house/revenue' THEN 'refund'
         WHEN t.debit_id LIKE 'house/%' THEN 'grant'
         WHEN t.credit_id = 'house/breakage' THEN 'expiry'
         ELSE 'correction' END AS type,
    CASE WHEN t.debit_id LIKE 'house/%' THEN t.credit_id ELSE t.debit_id END AS grant_id,
    CASE WHEN t.kind = 'release' THEN h.amount ELSE t.amount END AS amount,
    coalesce(h.amount - t.amount, 0) AS returned,
    CASE WHEN t.hold_id IS NOT NULL THEN h.amount - t.amount
         WHEN t.debit_id LIKE 'house/%' THEN t.amount ELSE -t.amount END AS freed,
    CASE WHEN t.kind = 'hold' THEN t.amount ELSE -coalesce(h.amount, 0) END AS promised
  FROM ledger_transfers t LEFT JOIN ledger_transfers h ON h.id = t.hold_id
  WHERE t.tenant_id = :tenant
), balanced AS (
  SELECT entries.*, sum(freed) OVER up_to AS available, sum(promised) OVER up_to AS held
  FROM entries WINDOW up_to AS (ORDER BY seq ROWS UNBOUNDED PRECEDING)
)
SELECT * FROM balanced
WHERE (cast(:since AS timestamptz) IS NULL OR created_at >= :since)
  AND (cast(:until AS timestamptz) IS NULL OR created_at < :until)
"""


def statement(
    session: Session,
    tenant_id: str,
    *,
    after: str | None = None,
    limit: int,
    newest_first: bool = True,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Entry]:
    """Up to `limit` + 1 entries behind the one whose id is `after`, in the order of the ledger."""
    query = _STATEMENT
    place: int | None = None
    if after is not None:
        place = session.execute(
            select(Transfer.seq).where(Transfer.id == after, Transfer.tenant_id == tenant_id)
        ).scalar_one_or_none()
        if place is None:
            return []
        query += f" AND seq {'<' if newest_first else '>'} :place"
    query += f" ORDER BY seq {'DESC' if newest_first else 'ASC'} LIMIT :limit"
    rows = session.execute(
        text(query),
        {
            "tenant": tenant_id,
            "since": _utc(since),
            "until": _utc(until),
            "place": place,
            "limit": limit + 1,
        },
    )
    return [
        Entry(
            id=row.id,
            at=row.created_at,
            type=row.type,
            amount=row.amount,
            returned=row.returned,
            available=int(row.available),
            held=int(row.held),
            subject=row.subject,
            reason=row.reason,
            actor=row.actor,
            grant_id=row.grant_id,
        )
        for row in rows
    ]


# -- usage ----------------------------------------------------------------------------------------


class By(StrEnum):
    """What usage is told by. A chat with a tuned model counts for the job that made it."""

    JOB = "job"
    MODEL = "model"
    MEMBER = "member"
    KEY = "key"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and credits of one job, model, member, key or day; `key` is None for all that has
    none (a base model's chat has no job, the portal no API key). `credits` is what was charged,
    before `refunded` came back.
    """

    key: str | None
    name: str | None
    jobs: int
    trained_tokens: int
    training_credits: MicroCredits
    chat_turns: int
    prompt_tokens: int
    completion_tokens: int
    chat_credits: MicroCredits
    credits: MicroCredits
    refunded: MicroCredits


# What has ended; who asked for a chat turn stands in its hold.
_USED = """
WITH used AS (
  SELECT j.id, j.finished_at AS at, j.created_by AS actor, j.id AS job,
         j.details->>'model' AS model, 1 AS jobs, j.trained_tokens,
         coalesce(j.charged_credits, 0) AS training_credits,
         0 AS chat_turns, 0 AS prompt_tokens, 0 AS completion_tokens, 0 AS chat_credits
  FROM jobs j WHERE j.tenant_id = :tenant AND j.finished_at IS NOT NULL
  UNION ALL
  SELECT c.id, c.finished_at, h.actor, a.job_id, coalesce(a.name, c.base_model), 0, 0, 0,
         1, c.prompt_tokens, c.completion_tokens, coalesce(c.charged_credits, 0)
  FROM chat_turns c
  LEFT JOIN adapters a ON a.id = c.adapter_id
  LEFT JOIN ledger_transfers h ON h.id = 'hold/' || c.id || '/0000'
  WHERE c.tenant_id = :tenant AND c.finished_at IS NOT NULL
), named AS (
  SELECT u.*, coalesce(k.created_by, u.actor) AS member, k.id AS key_id, k.name AS key_name
  FROM used u LEFT JOIN api_keys k ON k.id = u.actor
  WHERE (cast(:since AS timestamptz) IS NULL OR u.at >= :since)
    AND (cast(:until AS timestamptz) IS NULL OR u.at < :until)
), refunds AS (
  SELECT subject, sum(amount) AS amount FROM ledger_transfers
  WHERE tenant_id = :tenant AND debit_id = 'house/revenue' GROUP BY subject
)
SELECT {key} AS key, {name} AS name, sum(jobs) AS jobs,
  sum(named.trained_tokens) AS trained_tokens,
  sum(training_credits) AS training_credits, sum(chat_turns) AS chat_turns,
  sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens,
  sum(chat_credits) AS chat_credits, sum(training_credits + chat_credits) AS credits,
  coalesce(sum(r.amount), 0) AS refunded
FROM named LEFT JOIN refunds r ON r.subject = named.id
LEFT JOIN jobs made ON made.id = named.job LEFT JOIN users u ON u.id = named.member
GROUP BY 1, 2 ORDER BY {order}
"""

_DAY = "to_char(named.at AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
_MOST_FIRST = "credits DESC, key NULLS LAST"
# Of each: the key, its name for people, and the order.
_BY: dict[By, tuple[str, str, str]] = {
    By.JOB: ("named.job", "made.suffix", _MOST_FIRST),
    By.MODEL: ("named.model", "named.model", _MOST_FIRST),
    By.MEMBER: ("named.member", "u.email", _MOST_FIRST),
    By.KEY: ("named.key_id", "named.key_name", _MOST_FIRST),
    By.DAY: (_DAY, _DAY, "key"),
}


def usage(
    session: Session,
    tenant_id: str,
    *,
    by: By,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Usage]:
    """What has ended from `since` until before `until`. The sums are the same whatever it is by."""
    key, name, order = _BY[by]
    rows = session.execute(
        text(_USED.format(key=key, name=name, order=order)),
        {"tenant": tenant_id, "since": _utc(since), "until": _utc(until)},
    )
    return [Usage(row.key, row.name, *(int(count) for count in row[2:])) for row in rows]


def total(rows: Sequence[Usage]) -> Usage:
    """All rows in one."""
    names = Usage.__dataclass_fields__.keys() - {"key", "name"}
    return Usage(
        key=None, name=None, **{name: sum(getattr(row, name) for row in rows) for name in names}
    )


# -- receipt --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SplitTokens:
    """Tokens and rows of one part of the data; only what is trained on is charged."""

    split: str
    rows: int | None
    tokens: int | None
    epochs: int
    trained_tokens: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """Everything a job's price is made of, and what it was trained from.

    `code` is what the tuned model's manifest names, so a job that made none has none.
    """

    job_id: str
    name: str | None
    status: str
    base_model: str
    base_revision: str | None
    method: dict[str, Any] | None
    splits: list[SplitTokens]
    rate: MicroCredits | None
    epochs: int | None
    price_version: str | None
    quote_id: str | None
    quoted: MicroCredits
    held: MicroCredits
    charged: MicroCredits
    returned: MicroCredits
    refunded: MicroCredits
    datasets: list[dict[str, str]]
    encoded_sha256: str | None
    seed: int | None
    code: dict[str, str] | None
    tuned_model: str | None
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


_MONEY = text("""
SELECT coalesce(sum(amount) FILTER (WHERE kind = 'hold'), 0) AS promised,
       coalesce(sum(amount) FILTER (WHERE kind = 'settle'), 0) AS charged,
       coalesce(sum(amount) FILTER (WHERE debit_id = 'house/revenue'), 0) AS refunded
FROM ledger_transfers WHERE tenant_id = :tenant AND subject = :subject
""")


def receipt(session: Session, tenant_id: str, job_id: str) -> Receipt:
    """The job's itemised bill; `held` is what was promised for it in all, open or not."""
    job = own(session, Job, job_id, tenant_id=tenant_id)
    money = session.execute(_MONEY, {"tenant": tenant_id, "subject": job.id}).one()
    still = ledger.held(session, tenant_id, job.id)
    promised, charged = int(money.promised), int(money.charged)
    price = Quote.model_validate(job.quote) if job.quote else None
    spec = job.spec or {}
    query = select(Adapter).where(Adapter.job_id == job.id, Adapter.tenant_id == tenant_id)
    tuned = session.execute(query).scalar_one_or_none()
    manifest = tuned.manifest if tuned else {}
    encoding = session.get(Encoding, job.encoding_id)
    report = (encoding.report if encoding else None) or {}
    return Receipt(
        job_id=job.id,
        name=job.suffix,
        status=job.status,
        base_model=job.details["model"],
        base_revision=spec.get("base_revision"),
        method=spec.get("method"),
        splits=_splits(session, job, price, report),
        rate=price.rate if price else None,
        epochs=price.n_epochs if price else None,
        price_version=price.price_version if price else None,
        quote_id=job.quote_id,
        quoted=price.credits if price else 0,
        held=promised,
        charged=charged,
        returned=promised - charged - still,
        refunded=int(money.refunded),
        datasets=_datasets(session, job),
        encoded_sha256=manifest.get("encoded_sha256") or report.get("sha256"),
        seed=job.details.get("seed"),
        code=manifest.get("code"),
        tuned_model=tuned.name if tuned else None,
        created_by=job.created_by,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


def _splits(
    session: Session, job: Job, price: Quote | None, report: dict[str, Any]
) -> list[SplitTokens]:
    """Where the rows went. What was held out is known as long as its encoding is kept."""
    if price is None:
        return []
    validation = session.get(Encoding, job.validation_encoding_id or "")
    other = (validation.report or {}) if validation else report
    held_out = other.get("train_tokens" if validation else "held_out_tokens")
    return [
        SplitTokens(
            "train",
            price.train_rows,
            price.tokens_per_epoch,
            price.n_epochs,
            job.trained_tokens,
        ),
        SplitTokens("held_out", price.held_out_rows, held_out, 0, 0),
    ]


def _datasets(session: Session, job: Job) -> list[dict[str, str]]:
    """Each file that was trained or measured on, by the hash of its bytes as they were uploaded."""
    mixed = (job.request.get("tuning") or {}).get("mix_with") or []
    uses = [("training_file", job.training_file)]
    uses += [("mix_with", each["file"]) for each in mixed]
    uses += [("validation_file", job.validation_file)] if job.validation_file else []
    query = select(Dataset).where(
        Dataset.id.in_([dataset_id for _, dataset_id in uses]), Dataset.tenant_id == job.tenant_id
    )
    found = {row.id: row for row in session.execute(query).scalars()}
    return [
        {
            "use": use,
            "id": dataset_id,
            "filename": found[dataset_id].filename,
            "sha256": found[dataset_id].sha256,
        }
        for use, dataset_id in uses
        if dataset_id in found
    ]


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=UTC)

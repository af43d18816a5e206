"""Credits. Amounts are micro-credits; `text` has each as people read it."""

from typing import Literal, NotRequired

from api.events import JobStatus
from api.quotas import Use
from api.routes.shapes import Paged, Shape
from api.spec import LoraMethod
from api.usage import By

GrantKind = Literal["voucher", "purchase", "admin", "refund", "sign_up", "referral"]


class GrantText(Shape):
    granted: str
    left: str
    held: str
    available: str


class Grant(Shape):
    """Credits that came together and are spent together."""

    id: str
    kind: GrantKind
    reason: str
    priority: int
    created_at: int
    starts_at: int
    expires_at: int | None
    granted: int
    left: int
    held: int
    available: int
    text: GrantText


class LowBalance(Shape):
    """Whether there is less than the threshold, and since when the tenant is told so."""

    low_balance: bool
    low_balance_threshold: int
    low_balance_since: int | None


class CreditsText(Shape):
    available: str
    held: str
    posted: str


class Credits(LowBalance):
    """The balance, and the grants that are not used up in the order they are spent."""

    object: Literal["balance"]
    available: int
    held: int
    posted: int
    text: CreditsText
    grants: list[Grant]


class CreditAlert(LowBalance):
    object: Literal["credit_alert"]


class EntryText(Shape):
    amount: str
    returned: str
    available: str
    held: str


class StatementEntry(Shape):
    """One entry of the ledger, and what there was after it."""

    id: str
    at: int
    type: Literal["grant", "refund", "hold", "settle", "release", "expiry", "correction"]
    amount: int
    returned: int
    available: int
    held: int
    subject: str
    reason: str
    actor: str
    grant_id: str
    text: EntryText


class Statement(Paged):
    data: list[StatementEntry]


class UsageText(Shape):
    training_credits: str
    chat_credits: str
    credits: str
    refunded: str


class UsageRow(Shape):
    """Tokens and credits of one job, model, member, key or day; null: of all that has none."""

    key: str | None
    name: str | None
    jobs: int
    trained_tokens: int
    training_credits: int
    chat_turns: int
    prompt_tokens: int
    completion_tokens: int
    chat_credits: int
    credits: int
    refunded: int
    text: UsageText


class Usage(Shape):
    object: Literal["usage"]
    by: By
    data: list[UsageRow]
    total: UsageRow


class SplitTokens(Shape):
    split: Literal["train", "held_out"]
    rows: int | None
    tokens: int | None
    epochs: int
    trained_tokens: int


class UsedDataset(Shape):
    use: Literal["training_file", "mix_with", "validation_file"]
    id: str
    filename: str
    sha256: str


class ReceiptText(Shape):
    rate: NotRequired[str]
    quoted: str
    held: str
    charged: str
    returned: str
    refunded: str


class Receipt(Shape):
    """Everything a job's price is made of, and what it was trained from."""

    object: Literal["receipt"]
    job_id: str
    name: str | None
    status: JobStatus
    base_model: str
    base_revision: str | None
    method: LoraMethod | None
    splits: list[SplitTokens]
    rate: int | None
    epochs: int | None
    price_version: str | None
    quote_id: str | None
    quoted: int
    held: int
    charged: int
    returned: int
    refunded: int
    datasets: list[UsedDataset]
    encoded_sha256: str | None
    seed: int | None
    code: dict[str, str] | None
    tuned_model: str | None
    created_by: str
    created_at: int
    started_at: int | None
    finished_at: int | None
    text: ReceiptText


class RedemptionText(Shape):
    amount: str


class Redemption(Shape):
    """What a code brought; `again` where it had been redeemed before."""

    object: Literal["redemption"]
    id: str
    grant_id: str
    expires_at: int | None
    again: bool
    amount: int
    text: RedemptionText


class LimitValues(Shape):
    """What holds for a tenant. Of the two for credits (micro-credits), 0 is no limit."""

    queued_jobs_max: int
    running_jobs_max: int
    storage_bytes_max: int
    requests_per_minute_max: int
    credits_per_day_max: int
    credits_per_month_max: int


class Limits(LimitValues):
    """Every limit of the tenant and how much of it is used."""

    object: Literal["limits"]
    used: Use

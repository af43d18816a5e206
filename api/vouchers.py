"""Vouchers: campaigns, their codes, redemption; sign-up and referral credits, which are campaigns.

A code has 80 random bits and a check character, and is kept as its hash. What a campaign may give
is counted in the database under its lock (`redeem_voucher`, migration 0003), so no race gives more.
A code that gives nothing gets one answer, whatever the cause: guessing teaches nothing.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api import bus
from api.errors import BadRequest, Conflict, NotFound, RateLimited
from api.events import JobStatus
from api.ledger.acts import positive
from api.money import MicroCredits
from api.settings import settings
from api.tables import Account, Campaign, Job, Redemption, Referral, VoucherCode, new_id

SIGN_UP = "campaign-sign-up"
REFERRAL = "campaign-referral"
WINDOW_SECONDS = 900

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford: without I, L, O and U
_FOLDED = str.maketrans("ILO", "110")
_PREFIX = "TUN"
_RANDOM = 16
_GROUP = 4


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What a code brought; `again` where this tenant had redeemed it before."""

    id: str
    grant_id: str
    amount: MicroCredits
    expires_at: datetime | None
    again: bool


# -- the tenant's side (its own transaction) ------------------------------------------------------


def redeem(
    session: Session, tenant_id: str, user_id: str, code: str, *, address: str = ""
) -> Redeemed:
    """Turn a code into a grant, once a tenant; the same again returns the first result.

    Raises BadRequest (`mistyped_voucher`, or `invalid_voucher` for all that gives nothing) and
    RateLimited after `redeem_attempts_max` by this person or too many from this network address.
    """
    plain = _plain(code)
    _count_attempt(user_id, address)
    found = session.execute(
        text("SELECT redeem_voucher(:hash, :person)"), {"hash": _hash(plain), "person": user_id}
    ).scalar_one()
    if found is None:
        raise BadRequest(
            "This code cannot be redeemed: there is none like it, or it has ended, was used up or "
            "withdrawn, or is not for this account. Ask whoever gave it to you.",
            code="invalid_voucher",
            param="code",
        )
    bus.forget(_counter("user", user_id))
    row = session.execute(
        select(Redemption, Account.expires_at, (Redemption.created_at < func.now()).label("again"))
        .join(Account, Account.id == Redemption.grant_id)
        .where(Redemption.id == found, Redemption.tenant_id == tenant_id)
    ).one()
    return Redeemed(
        id=row.Redemption.id,
        grant_id=row.Redemption.grant_id,
        amount=row.Redemption.amount,
        expires_at=row.expires_at,
        again=row.again,
    )


def welcome(session: Session, user_id: str, *, referral_code: str = "") -> None:
    """The sign-up credits of the transaction's new tenant, and who brought it (a tenant's slug).

    Where the campaign has ended or is used up, nothing is given, and that is no error.
    """
    session.execute(
        text("SELECT welcome(:person, :amount, :referrer)"),
        {
            "person": user_id,
            "amount": settings().sign_up_credits,
            "referrer": referral_code.strip().lower(),
        },
    )


# -- the operator's side (system transaction) -----------------------------------------------------


def create_campaign(
    session: Session,
    *,
    name: str,
    amount: MicroCredits,
    actor: str,
    priority: int = 50,
    days: int | None = None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    credits_max: MicroCredits | None = None,
    redemptions_max: int | None = None,
    tenant_max: int = 1,
    user_max: int | None = None,
    first_only: bool = False,
    email_domains: list[str] | None = None,
) -> Campaign:
    """A campaign whose codes each grant `amount`, within a budget and to whom it is meant for."""
    limits = {
        "days": days,
        "credits_max": credits_max,
        "redemptions_max": redemptions_max,
        "tenant_max": tenant_max,
        "user_max": user_max,
    }
    for param, limit in limits.items():
        if limit is not None and limit <= 0:
            raise BadRequest(f"{param} must be above zero, or left out.", param=param)
    begins = starts_at or datetime.now(UTC)
    if ends_at and ends_at <= begins:
        raise BadRequest("A campaign must end after it starts.", param="ends_at")
    row = Campaign(
        id=new_id("campaign-"),
        name=name.strip(),
        amount=positive(amount),
        priority=priority,
        days=days,
        starts_at=starts_at or func.now(),
        ends_at=ends_at,
        credits_max=credits_max,
        redemptions_max=redemptions_max,
        tenant_max=tenant_max,
        user_max=user_max,
        first_only=first_only,
        email_domains=[domain.strip().lower().lstrip("@") for domain in email_domains or []],
        created_by=actor,
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict(
            f"There is a campaign named {name!r} already. Choose another name.", param="name"
        ) from error
    session.refresh(row)
    return row


def campaigns(session: Session) -> list[Campaign]:
    """Newest first, the built-in ones (sign-up, referral) among them."""
    return list(session.execute(select(Campaign).order_by(Campaign.created_at.desc())).scalars())


def revoke_campaign(session: Session, campaign_id: str) -> None:
    """From now on none of its codes gives anything; what was granted stays."""
    _revoke(session, Campaign, campaign_id)


def generate_codes(
    session: Session, campaign_id: str, *, count: int, max_redemptions: int = 1
) -> list[tuple[str, str]]:
    """New codes as (id, clear code). The clear ones are in this answer and never again."""
    if not 1 <= count <= settings().voucher_codes_max:
        raise BadRequest(
            f"1 to {settings().voucher_codes_max} codes are made at once (voucher_codes_max).",
            param="count",
        )
    if max_redemptions <= 0:
        raise BadRequest("A code needs at least one use.", param="max_redemptions")
    campaign = _campaign(session, campaign_id)
    made = [(new_id("code-"), _new_plain()) for _ in range(count)]
    session.add_all(
        VoucherCode(
            id=code_id,
            campaign_id=campaign.id,
            code_hash=_hash(plain),
            max_redemptions=max_redemptions,
        )
        for code_id, plain in made
    )
    session.flush()
    return [(code_id, _written(plain)) for code_id, plain in made]


def codes(session: Session, campaign_id: str) -> list[VoucherCode]:
    """A campaign's codes, by what is kept of them: uses, and whether they were revoked."""
    query = select(VoucherCode).where(VoucherCode.campaign_id == campaign_id)
    return list(session.execute(query.order_by(VoucherCode.created_at, VoucherCode.id)).scalars())


def revoke_code(session: Session, code_id: str) -> None:
    _revoke(session, VoucherCode, code_id)


def find_code(session: Session, code: str) -> VoucherCode:
    """The row of a clear code, for whoever has to revoke one that got about."""
    row = session.execute(
        select(VoucherCode).where(VoucherCode.code_hash == _hash(_plain(code)))
    ).scalar_one_or_none()
    if row is None:
        raise NotFound("There is no such code.", param="code")
    return row


def reward_referrals(session: Session) -> None:
    """Both sides get their credits once the invited tenant's first paid job has succeeded.

    System transaction, on beat. The built-in campaign's limits decide how often one may refer.
    """
    paid = select(Job.id).where(
        Job.tenant_id == Referral.tenant_id,
        Job.status == JobStatus.SUCCEEDED,
        Job.charged_credits > 0,
    )
    waiting = session.execute(
        select(Referral)
        .where(Referral.rewarded_at.is_(None), paid.exists())
        .order_by(Referral.tenant_id)
        .with_for_update(skip_locked=True)
        .limit(100)
    ).scalars()
    gives = text("SELECT campaign_gives(:campaign, NULL, :tenant, NULL, :key, :amount)")
    for referral in list(waiting):
        for tenant_id, side in ((referral.tenant_id, "came"), (referral.referrer_id, "brought")):
            session.execute(
                gives,
                {
                    "campaign": REFERRAL,
                    "tenant": tenant_id,
                    "key": f"referral/{referral.tenant_id}/{side}",
                    "amount": settings().referral_credits,
                },
            )
        referral.rewarded_at = func.now()
    session.flush()


# -- codes ----------------------------------------------------------------------------------------


def _new_plain() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))


def _written(plain: str) -> str:
    """`TUN-XXXX-XXXX-XXXX-XXXX-C`, as people copy it."""
    groups = [plain[i : i + _GROUP] for i in range(0, _RANDOM, _GROUP)]
    return "-".join([_PREFIX, *groups, _check_character(plain)])


def _plain(code: str) -> str:
    """The random part of a code in any writing. Raises BadRequest where it was mistyped."""
    letters = "".join(c for c in code[:100].upper() if c.isascii() and c.isalnum())
    folded = letters.removeprefix(_PREFIX).translate(_FOLDED)
    plain, check = folded[:-1], folded[-1:]
    known = len(plain) == _RANDOM and all(c in _ALPHABET for c in folded)
    if not known or check != _check_character(plain):
        raise BadRequest(
            "This code was mistyped: its letters do not fit together. Compare it with the one you "
            "were given (TUN-XXXX-XXXX-XXXX-XXXX-X).",
            code="mistyped_voucher",
            param="code",
        )
    return plain


def _check_character(plain: str) -> str:
    """One digit of base 32 that changes with any one letter, and with any two in swapped places.

    The letters are the coefficients of a polynomial over GF(32), taken at its generator.
    """
    total = 0
    for letter in plain:
        total <<= 1
        total ^= 0b100101 if total & 32 else 0
        total ^= _ALPHABET.index(letter)
    total <<= 1
    return _ALPHABET[total ^ (0b100101 if total & 32 else 0)]


def _hash(plain: str) -> bytes:
    return hashlib.sha256(plain.encode()).digest()


# -- below the verbs ------------------------------------------------------------------------------


def _count_attempt(user_id: str, address: str) -> None:
    limits = {_counter("user", user_id): settings().redeem_attempts_max}
    if address:
        limits[_counter("address", address)] = settings().redeem_attempts_per_address_max
    for counter, most in limits.items():
        if bus.count_up(counter, window_seconds=WINDOW_SECONDS) > most:
            raise RateLimited("Too many codes were tried. Try again in 15 minutes.")


def _counter(kind: str, value: str) -> str:
    return f"redeem:{kind}:{hashlib.sha256(value.encode()).hexdigest()}"


def _campaign(session: Session, campaign_id: str) -> Campaign:
    row = session.get(Campaign, campaign_id)
    if row is None:
        raise NotFound(f"There is no campaign {campaign_id!r}.", param="campaign_id")
    return row


def _revoke(session: Session, table: type[Campaign | VoucherCode], row_id: str) -> None:
    """Revoked stays revoked, as of the first time."""
    done = session.execute(
        update(table)
        .where(table.id == row_id)
        .values(revoked_at=func.coalesce(table.revoked_at, func.now()))
        .returning(table.id)
    ).scalar_one_or_none()
    if done is None:
        noun = "campaign" if table is Campaign else "code"
        raise NotFound(f"There is no {noun} {row_id!r}.", param=f"{noun}_id")

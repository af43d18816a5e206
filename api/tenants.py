"""Tenants, people, passwords, sign-in sessions and API keys: who is asking, and for whom.

Secrets are never kept: passwords as argon2id, tokens and keys (which have the entropy to do
without) as sha256. Keys carry a checksum, so a mistyped one is refused without asking the database.
"""

import hashlib
import re
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import BoundedSemaphore
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api import bus, vouchers
from api.db import enter_tenant
from api.errors import BadRequest, Conflict, Forbidden, NotFound, RateLimited, Unauthenticated
from api.settings import settings
from api.tables import ApiKey, Member, SignInSession, Tenant, User, new_id, own

Role = Literal["owner", "member"]

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_RANDOM = 30
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|[^@\s]+@localhost")
_PASSWORD_LENGTHS = range(12, 257)
_USER_AGENT_MAX = 200

_hasher = PasswordHasher()
# Each hash takes 64 MiB for its time; a burst of sign-ins must not take the process down.
_hashing = BoundedSemaphore(4)
# Checked where there is no such user, so that "no such user" takes as long as "wrong password".
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, for which tenant, and by what (`key-…` or the user's id, for the books)."""

    tenant_id: str
    user_id: str
    key_id: str | None = None

    @property
    def name(self) -> str:
        return self.key_id or self.user_id


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of a person before they have proved to be it."""

    user_id: str
    password_hash: str
    tenant_id: str | None


@dataclass(frozen=True, slots=True)
class Membership:
    """A tenant that a person belongs to, and as what."""

    id: str
    name: str
    slug: str
    role: Role


@dataclass(frozen=True, slots=True)
class SignedIn:
    """One of a person's open sessions. `id` names it without giving anything away."""

    token_hash: bytes
    tenant_id: str
    user_agent: str
    created_at: datetime
    seen_at: datetime
    current: bool

    @property
    def id(self) -> str:
        return "session-" + hashlib.sha256(self.token_hash).hexdigest()[:20]


# -- people ---------------------------------------------------------------------------------------


def sign_up(
    session: Session, *, email: str, password: str, tenant_name: str, referral_code: str = ""
) -> Actor:
    """A new person with a new tenant of their own and its first credits (anonymous transaction).

    `referral_code` is the slug of the tenant that brought them; one that nobody has is no error.
    """
    address = checked_email(email)
    name = tenant_name.strip()
    if not 1 <= len(name) <= 100:
        raise BadRequest("A tenant's name has 1 to 100 characters.", param="tenant")
    password_hash = _new_hash(password)
    actor = Actor(tenant_id=new_id("ten-"), user_id=new_id("user-"))
    enter_tenant(session, actor.tenant_id)
    session.execute(
        insert(Tenant).values(id=actor.tenant_id, name=name, slug=_slug(name, actor.tenant_id))
    )
    _add_user(session, actor.user_id, address, password_hash)
    session.add(Member(tenant_id=actor.tenant_id, user_id=actor.user_id, role="owner"))
    session.flush()
    vouchers.welcome(session, actor.user_id, referral_code=referral_code)
    return actor


def sign_in(
    session: Session, *, email: str, password: str, user_agent: str = ""
) -> tuple[Actor, str]:
    """The actor and a new session token (anonymous transaction)."""
    address = email.strip().lower()
    counter = _count_attempt(address)
    found = find_account(session, address)
    with _hashing:
        right = _verify(found.password_hash if found else _NOBODY, password)
    if found is None or not right:
        raise Unauthenticated("No account has this e-mail and password.", code="invalid_sign_in")
    bus.forget(counter)
    if found.tenant_id is None:
        raise Forbidden(
            "You are no longer a member of any tenant. Ask an owner of one to invite you.",
            code="no_tenant",
        )
    actor = Actor(tenant_id=found.tenant_id, user_id=found.user_id)
    enter_tenant(session, actor.tenant_id)
    return actor, open_session(session, actor, user_agent=user_agent)


def find_account(session: Session, address: str) -> Account | None:
    row = session.execute(
        text("SELECT user_id, password_hash, tenant_id FROM find_user(:address)"),
        {"address": address},
    ).one_or_none()
    return Account(*row) if row else None


def prove(session: Session, address: str, password: str) -> Account | None:
    """The account of that address where this is its password, None where there is no account.
    Raises Unauthenticated for a wrong one, RateLimited for guessing (anonymous transaction)."""
    counter = _count_attempt(address)
    found = find_account(session, address)
    with _hashing:
        right = _verify(found.password_hash if found else _NOBODY, password)
    if found is not None and not right:
        raise Unauthenticated("That is not this account's password.", code="invalid_sign_in")
    bus.forget(counter)
    return found


def open_session(session: Session, actor: Actor, *, user_agent: str = "") -> str:
    """A new token for a browser; only its hash is kept."""
    token = secrets.token_urlsafe(32)
    session.add(
        SignInSession(
            token_hash=_sha256(token),
            tenant_id=actor.tenant_id,
            user_id=actor.user_id,
            user_agent=user_agent[:_USER_AGENT_MAX],
            expires_at=datetime.now(UTC) + timedelta(days=settings().session_days_max),
        )
    )
    session.flush()
    return token


def sign_out(session: Session, token: str) -> None:
    """The token counts no more; one that never did is no error."""
    row = session.get(SignInSession, _sha256(token))
    if row is not None:
        session.delete(row)


def add_account(session: Session, address: str, password: str) -> str:
    """A new person without a tenant yet; their id. Raises BadRequest, Conflict."""
    user_id = new_id("user-")
    _add_user(session, user_id, address, _new_hash(password))
    return user_id


def user(session: Session, actor: Actor) -> tuple[User, Tenant]:
    return (
        session.execute(select(User).where(User.id == actor.user_id)).scalar_one(),
        session.execute(select(Tenant).where(Tenant.id == actor.tenant_id)).scalar_one(),
    )


def refuse_others_than_owners(session: Session, actor: Actor) -> None:
    """Raises Forbidden for a person, or a key of a person's, who does not own the tenant."""
    member = session.get(Member, (actor.tenant_id, actor.user_id))
    if member is None or member.role != "owner":
        raise Forbidden("Only an owner of this tenant can do this. Ask one.", code="owners_only")


# -- who is asking (anonymous transaction) --------------------------------------------------------


def by_key(session: Session, key: str) -> Actor:
    """Whose key this is. Raises Unauthenticated for one that is mistyped, unknown or revoked."""
    if not _checksum_fits(key):
        raise Unauthenticated(
            "That is not one of our API keys (they start with tk- and carry a checksum). "
            "Copy it again, or make a new one."
        )
    row = session.execute(
        text("SELECT key_id, tenant_id, user_id FROM find_api_key(:hash)"), {"hash": _sha256(key)}
    ).one_or_none()
    if row is None:
        raise Unauthenticated("This API key is unknown or was revoked.")
    enter_tenant(session, row.tenant_id)
    session.execute(
        update(ApiKey)
        .where(
            ApiKey.id == row.key_id,
            (ApiKey.used_at.is_(None)) | (ApiKey.used_at < func.now() - text("interval '1 min'")),
        )
        .values(used_at=func.now())
    )
    return Actor(tenant_id=row.tenant_id, user_id=row.user_id, key_id=row.key_id)


def by_session(session: Session, token: str, now: datetime) -> Actor:
    """Whose browser this is. Raises Unauthenticated where the session ended or went idle."""
    row = session.execute(
        text("SELECT tenant_id, user_id, seen_at, expires_at FROM find_session(:hash)"),
        {"hash": _sha256(token)},
    ).one_or_none()
    idle = timedelta(days=settings().session_idle_days)
    if row is None or row.expires_at < now or row.seen_at + idle < now:
        raise Unauthenticated("Your session has ended. Sign in again.", code="session_ended")
    if row.seen_at + timedelta(minutes=1) < now:
        enter_tenant(session, row.tenant_id)
        session.execute(
            update(SignInSession)
            .where(SignInSession.token_hash == _sha256(token))
            .values(seen_at=func.now())
        )
    return Actor(tenant_id=row.tenant_id, user_id=row.user_id)


# -- a person's own sessions: the token of one is asked for, since they reach over tenants ---------


def sessions(session: Session, token: str, now: datetime) -> list[SignedIn]:
    """Every browser in which the person of this session is signed in, the latest seen first."""
    rows = session.execute(
        text("SELECT * FROM sessions_beside(:hash)"), {"hash": _sha256(token)}
    ).all()
    idle = timedelta(days=settings().session_idle_days)
    return [
        SignedIn(
            token_hash=row.token_hash,
            tenant_id=row.tenant_id,
            user_agent=row.user_agent,
            created_at=row.created_at,
            seen_at=row.seen_at,
            current=row.token_hash == _sha256(token),
        )
        for row in rows
        if row.expires_at > now and row.seen_at + idle > now
    ]


def end_session(session: Session, token: str, session_id: str, now: datetime) -> None:
    """Sign one browser of the person's out. Raises NotFound."""
    for each in sessions(session, token, now):
        if each.id == session_id:
            _end_sessions(session, token, each.token_hash)
            return
    raise NotFound(f"There is no session {session_id!r}.")


def end_other_sessions(session: Session, token: str) -> int:
    """Sign out every browser but this one; how many there were."""
    return _end_sessions(session, token, None)


def switch(session: Session, actor: Actor, token: str, tenant_id: str) -> Actor:
    """From now on the session is in another tenant of the person's. Raises NotFound."""
    switched = session.execute(
        text("SELECT switch_session(:hash, :tenant)"),
        {"hash": _sha256(token), "tenant": tenant_id},
    ).scalar_one()
    if not switched:
        raise NotFound(f"There is no tenant {tenant_id!r} that you belong to.", param="tenant_id")
    enter_tenant(session, tenant_id)
    return Actor(tenant_id=tenant_id, user_id=actor.user_id)


def change_password(session: Session, actor: Actor, token: str, *, current: str, new: str) -> int:
    """Everybody else who is signed in as this person is out; how many sessions that were."""
    account, _ = user(session, actor)
    counter = _count_attempt(account.email)
    with _hashing:
        right = _verify(account.password_hash, current)
    if not right:
        raise Forbidden(
            "That is not your current password.", code="invalid_password", param="current"
        )
    bus.forget(counter)
    changed = session.execute(
        text("SELECT change_password(:hash, :old, :new)"),
        {
            "hash": _sha256(token),
            "old": account.password_hash,
            "new": _new_hash(new, param="new"),
        },
    ).scalar_one()
    if not changed:
        raise Conflict("The password was changed by another request meanwhile.")
    return end_other_sessions(session, token)


def memberships(session: Session, actor: Actor) -> list[Membership]:
    """Every tenant that the person belongs to, the first joined first."""
    rows = session.execute(
        text("SELECT id, name, slug, role FROM tenants_of(:user)"), {"user": actor.user_id}
    )
    return [Membership(*row) for row in rows]


def _end_sessions(session: Session, token: str, victim: bytes | None) -> int:
    ended: int = session.execute(
        text("SELECT end_sessions_beside(:hash, CAST(:victim AS bytea))"),
        {"hash": _sha256(token), "victim": victim},
    ).scalar_one()
    return ended


# -- keys -----------------------------------------------------------------------------------------


def make_key(session: Session, actor: Actor, *, name: str) -> tuple[ApiKey, str]:
    """A new key and its secret, which is shown this once."""
    _refuse_budgeted(session, actor)
    count = session.execute(
        select(func.count())
        .select_from(ApiKey)
        .where(ApiKey.tenant_id == actor.tenant_id, ApiKey.revoked_at.is_(None))
    ).scalar_one()
    if count >= settings().api_keys_max:
        raise BadRequest(
            f"There are {count} keys, and {settings().api_keys_max} is the most (api_keys_max). "
            "Revoke one first.",
            code="api_keys_max",
        )
    random = "".join(secrets.choice(_BASE62) for _ in range(_KEY_RANDOM))
    key = f"tk-{random}{_checksum(random)}"
    row = ApiKey(
        id=new_id("key-"),
        tenant_id=actor.tenant_id,
        created_by=actor.user_id,
        name=name.strip()[:80] or "key",
        key_hash=_sha256(key),
        prefix=key[:7],
        last4=key[-4:],
    )
    session.add(row)
    session.flush()
    return row, key


def set_budgets(
    session: Session, actor: Actor, key_id: str, budgets: Mapping[str, int | None]
) -> ApiKey:
    """What a key may spend: `budget_credits` ever, `month_budget_credits` in a month; None: all."""
    key = own(session, ApiKey, key_id, tenant_id=actor.tenant_id, lock=True)
    _refuse_budgeted(session, actor)
    for name in ("budget_credits", "month_budget_credits"):
        if name in budgets:
            setattr(key, name, budgets[name])
    session.flush()
    return key


def keys(session: Session, actor: Actor) -> list[ApiKey]:
    query = select(ApiKey).where(ApiKey.tenant_id == actor.tenant_id, ApiKey.revoked_at.is_(None))
    return list(session.execute(query.order_by(ApiKey.created_at.desc())).scalars())


def revoke_key(session: Session, actor: Actor, key_id: str) -> None:
    key = own(session, ApiKey, key_id, tenant_id=actor.tenant_id)
    key.revoked_at = key.revoked_at or datetime.now(UTC)


def _refuse_budgeted(session: Session, actor: Actor) -> None:
    """A key that may spend so much only must not get round it by a new budget or a new key."""
    key = session.get(ApiKey, actor.key_id) if actor.key_id else None
    if key and (key.budget_credits, key.month_budget_credits) != (None, None):
        raise Forbidden(
            "This API key has a budget, so it can neither make keys nor change budgets. Sign in, "
            "or use a key without one.",
            code="key_has_budget",
        )


# -- below the verbs ------------------------------------------------------------------------------


def _count_attempt(address: str) -> str:
    """Counts an attempt at an address's password; the counter's name. Raises RateLimited."""
    counter = f"sign-in:{hashlib.sha256(address.encode()).hexdigest()}"
    attempts = bus.count_up(counter, window_seconds=900)
    if attempts > settings().sign_in_attempts_max:
        raise RateLimited("Too many attempts for this address. Try again in 15 minutes.")
    return counter


def _new_hash(password: str, *, param: str = "password") -> str:
    if len(password) not in _PASSWORD_LENGTHS:
        raise BadRequest("A password has 12 to 256 characters.", param=param)
    with _hashing:
        return _hasher.hash(password)


def _add_user(session: Session, user_id: str, address: str, password_hash: str) -> None:
    try:
        session.execute(insert(User).values(id=user_id, email=address, password_hash=password_hash))
    except IntegrityError as error:
        raise Conflict(
            f"There is an account for {address} already. Sign in instead.",
            code="email_taken",
            param="email",
        ) from error


def checked_email(email: str) -> str:
    address = email.strip().lower()
    if len(address) > 254 or not _EMAIL.fullmatch(address):
        raise BadRequest(f"{email[:254]!r} is not an e-mail address.", param="email")
    return address


def _slug(name: str, tenant_id: str) -> str:
    """A readable part of model names; the id's tail keeps two tenants of one name apart."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24].rstrip("-")
    return f"{words or 'tenant'}-{tenant_id[-6:]}"


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def _sha256(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _checksum(random: str) -> str:
    """CRC32 in six base-62 digits: catches typing errors and tells scanners a real key."""
    rest, digits = zlib.crc32(random.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits = _BASE62[digit] + digits
    return digits


def _checksum_fits(key: str) -> bool:
    random, checksum = key[3:-6], key[-6:]
    return key.startswith("tk-") and len(random) == _KEY_RANDOM and _checksum(random) == checksum

"""Who I am, and API keys."""

from typing import Literal

from api.routes.shapes import Shape
from api.tenants import Role


class Person(Shape):
    id: str
    email: str


class OwnTenant(Shape):
    id: str
    name: str
    slug: str


class JoinedTenant(OwnTenant):
    """A tenant that the person belongs to, and as what."""

    role: Role


class CreditTotals(Shape):
    """Micro-credits: what can be spent now, what is promised, and both."""

    available: int
    held: int
    posted: int


class Me(Shape):
    """`role` is in `tenant`; `tenants` are all the person belongs to; `operator`: whoever runs this
    service."""

    user: Person
    tenant: OwnTenant
    role: Role
    operator: bool
    tenants: list[JoinedTenant]
    credits: CreditTotals


class SignedOut(Shape):
    signed_out: Literal[True]


class ApiKey(Shape):
    """A key without its secret. Budgets and what was spent are micro-credits."""

    id: str
    object: Literal["api_key"]
    name: str
    redacted: str
    created_at: int
    used_at: int | None
    budget_credits: int | None
    month_budget_credits: int | None
    spent_credits: int
    month_spent_credits: int


class NewApiKey(ApiKey):
    """A key with its secret, which is in this answer and never again."""

    key: str


class ApiKeyList(Shape):
    object: Literal["list"]
    data: list[ApiKey]


class DeletedApiKey(Shape):
    id: str
    object: Literal["api_key"]
    deleted: Literal[True]

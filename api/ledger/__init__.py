"""Double-entry credits: grant, hold, settle, release, refund, correct, expire, balance.

A transfer is one append-only row with one debit and one credit. Each grant is an account of its
own; a hold reserves on the grants it names and resolves exactly once (a unique index decides who
races). Never below zero is a CHECK of the table, so no caller can get it wrong. Every act has a key
and the hash of its input: the same again returns the first result, another input is refused.
Lock order everywhere: job or turn, wallet, then code and campaign, or grants by spending order.
"""

from api.ledger.acts import BREAKAGE, PAYMENT, PROMOTION, REVENUE
from api.ledger.check import INVARIANTS, Finding, check
from api.ledger.expiry import expire
from api.ledger.grants import Balance, Grant, balance, correct, grant, grants, refund
from api.ledger.holds import held, hold, release, settle

__all__ = [
    "BREAKAGE",
    "INVARIANTS",
    "PAYMENT",
    "PROMOTION",
    "REVENUE",
    "Balance",
    "Finding",
    "Grant",
    "balance",
    "check",
    "correct",
    "expire",
    "grant",
    "grants",
    "held",
    "hold",
    "refund",
    "release",
    "settle",
]

"""Money is an int of micro-credits, everywhere; a float never touches it. Formatted here only."""

from collections.abc import Mapping

MicroCredits = int

CREDIT: MicroCredits = 1_000_000


def credits_text(amount: MicroCredits) -> str:
    """`3_410_000` -> `3.41`: exact to the micro-credit, at least two decimals."""
    sign = "-" if amount < 0 else ""
    whole, micro = divmod(abs(amount), CREDIT)
    decimals = f"{micro:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole:,}.{decimals}"


def with_text(amounts: Mapping[str, MicroCredits]) -> dict[str, object]:
    """The amounts, and under `text` each as people read it: one form for portal, REST and CLI."""
    return {**amounts, "text": {name: credits_text(amount) for name, amount in amounts.items()}}

"""What things cost: pure functions from (price class, method, token counts) to micro-credits.

This file is the price list. Rates are whole micro-credits a token, so no price is ever rounded and
a quote equals the charge to the micro-credit. A running job keeps the rate of its quote.
"""

from dataclasses import dataclass

from pydantic import Field

from api.catalog import BaseModel, PriceClass
from api.money import MicroCredits
from api.spec import Frozen, JobSpec, total_steps

PRICE_VERSION = "2026-11"

MINIMUM_CHARGE: MicroCredits = 10_000
"""A run that trained anything costs at least 0.01 credits."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Micro-credits a token: trained, read by the model in chat, and written by it."""

    train: MicroCredits
    chat_prompt: MicroCredits
    chat_completion: MicroCredits


RATES: dict[PriceClass, Rate] = {
    PriceClass.XS: Rate(train=10, chat_prompt=1, chat_completion=2),  # up to 1 B parameters
    PriceClass.S: Rate(train=20, chat_prompt=2, chat_completion=4),  # up to 4 B
    PriceClass.M: Rate(train=40, chat_prompt=4, chat_completion=8),  # up to 16 B
    PriceClass.L: Rate(train=160, chat_prompt=12, chat_completion=24),  # above
}

METHOD_FACTORS: dict[str, int] = {"lora": 1}
"""What a method costs beside LoRA: full tuning needs several times the memory and time."""


class TokenCounts(Frozen):
    """What one encoded dataset holds, split into what is trained and what is held out."""

    train_rows: int
    train_tokens: int = Field(description="an epoch, prompts included")
    held_out_rows: int
    held_out_tokens: int


class Quote(Frozen):
    """The most a job can cost, and what that is made of. Credits are micro-credits."""

    credits: MicroCredits
    rate: MicroCredits = Field(description="micro-credits a trained token")
    trained_tokens: int
    tokens_per_epoch: int
    n_epochs: int
    steps: int
    train_rows: int
    held_out_rows: int
    price_version: str = PRICE_VERSION


def quote(spec: JobSpec, counts: TokenCounts, base: BaseModel) -> Quote:
    """The price of training `spec` on that many tokens to its end."""
    rate = RATES[base.price_class].train * METHOD_FACTORS[spec.method.type]
    trained = counts.train_tokens * spec.hyperparameters.n_epochs
    return Quote(
        credits=_at_least_minimum(rate * trained),
        rate=rate,
        trained_tokens=trained,
        tokens_per_epoch=counts.train_tokens,
        n_epochs=spec.hyperparameters.n_epochs,
        steps=total_steps(counts.train_rows, spec.hyperparameters),
        train_rows=counts.train_rows,
        held_out_rows=counts.held_out_rows,
    )


def extended(agreed: Quote, n_epochs: int) -> Quote:
    """The price of the same rows over so many epochs, at the rate that was agreed."""
    trained = agreed.tokens_per_epoch * n_epochs
    return agreed.model_copy(
        update={
            "credits": _at_least_minimum(agreed.rate * trained),
            "trained_tokens": trained,
            "n_epochs": n_epochs,
            "steps": agreed.steps // agreed.n_epochs * n_epochs,
        }
    )


def charge(agreed: Quote, trained_tokens: int) -> MicroCredits:
    """What `trained_tokens` cost under a quote: nothing for none, never more than the quote."""
    if trained_tokens <= 0:
        return 0
    return min(agreed.credits, _at_least_minimum(agreed.rate * trained_tokens))


def chat_price(base: BaseModel, *, prompt_tokens: int, completion_tokens: int) -> MicroCredits:
    rate = RATES[base.price_class]
    return rate.chat_prompt * prompt_tokens + rate.chat_completion * completion_tokens


def _at_least_minimum(amount: MicroCredits) -> MicroCredits:
    return max(amount, MINIMUM_CHARGE) if amount > 0 else 0

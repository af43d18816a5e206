"""Dataset rows: the one internal form, and what can be wrong with a row. No I/O.

Whatever a file looks like (alpaca, OpenAI messages, sharegpt), a row becomes a `Row`: messages, of
which the assistant's with weight 1 are learned.
"""

from enum import StrEnum
from typing import Literal

from api.spec import Frozen


class Form(StrEnum):
    """The shapes of a row that files come in."""

    MESSAGES = "messages"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"


class Message(Frozen):
    """One turn. `weight` 0 keeps an assistant turn as context without learning it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    weight: Literal[0, 1] = 1


class Row(Frozen):
    """One training example. `line` is where it stands in the file, from 1."""

    line: int
    messages: tuple[Message, ...]


class Problem(Frozen):
    """Why a row cannot be trained on: where, what, and what to do."""

    line: int
    field: str | None
    code: str
    message: str

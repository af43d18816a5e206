"""Dataset rows: the one internal form, and what can be wrong with a row. No I/O.

Whatever a file looks like (alpaca, OpenAI messages, sharegpt), a row becomes a `Row`: messages, of
which the assistant's with weight 1 are learned. `words` says what there is, `parse` reads.
"""

from api.rows.parse import detect, ignored, parse_row, shown
from api.rows.words import (
    FILE_CODES,
    Container,
    Form,
    Message,
    Problem,
    ProblemCode,
    Report,
    Role,
    Row,
)

__all__ = [
    "FILE_CODES",
    "Container",
    "Form",
    "Message",
    "Problem",
    "ProblemCode",
    "Report",
    "Role",
    "Row",
    "detect",
    "ignored",
    "parse_row",
    "shown",
]

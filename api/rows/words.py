"""The words of dataset rows: a row, a problem, and the report of a file."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from api.spec import Frozen


class Form(StrEnum):
    """The shapes of a row that files come in."""

    MESSAGES = "messages"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"


class Container(StrEnum):
    """How a file holds its rows."""

    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"


class ProblemCode(StrEnum):
    """What can be wrong; stable, for machines."""

    # The file.
    EMPTY_FILE = "empty_file"
    UNKNOWN_CONTAINER = "unknown_container"
    NOT_AN_ARRAY = "not_an_array"
    BAD_HEADER = "bad_header"
    TOO_MANY_ROWS = "too_many_rows"
    # The bytes of a row.
    NOT_UTF8 = "not_utf8"
    LINE_TOO_LONG = "line_too_long"
    BAD_JSON = "bad_json"
    BAD_CSV = "bad_csv"
    DUPLICATE_KEY = "duplicate_key"
    NOT_FINITE = "not_finite"
    TOO_DEEP = "too_deep"
    LONE_SURROGATE = "lone_surrogate"
    NUL_CHARACTER = "nul_character"
    # What a row says.
    NOT_AN_OBJECT = "not_an_object"
    UNKNOWN_FORM = "unknown_form"
    OTHER_FORM = "other_form"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    NOT_SUPPORTED = "not_supported"
    UNKNOWN_ROLE = "unknown_role"
    BAD_WEIGHT = "bad_weight"
    TOO_MANY_MESSAGES = "too_many_messages"
    EMPTY_QUESTION = "empty_question"
    EMPTY_ANSWER = "empty_answer"
    NO_MESSAGES = "no_messages"
    NO_ANSWER = "no_answer"
    NOTHING_SUPERVISED = "nothing_supervised"
    LAST_TURN_NOT_ASSISTANT = "last_turn_not_assistant"
    # What a base model makes of it.
    TOO_LONG = "too_long"
    TEMPLATE_REFUSED = "template_refused"


FILE_CODES = frozenset(
    {
        ProblemCode.EMPTY_FILE,
        ProblemCode.UNKNOWN_CONTAINER,
        ProblemCode.NOT_AN_ARRAY,
        ProblemCode.BAD_HEADER,
        ProblemCode.TOO_MANY_ROWS,
    }
)
"""Problems of the file as a whole; every other one makes one row bad."""

Role = Literal["system", "user", "assistant", "tool"]


class Message(Frozen):
    """One turn. `weight` 0 keeps an assistant turn as context without learning it."""

    role: Role
    content: str
    weight: Literal[0, 1] = 1


class Row(Frozen):
    """One training example. `line` is where it stands in the file, from 1."""

    line: int
    messages: tuple[Message, ...]


class Problem(Frozen):
    """Why a row cannot be trained on: where, what, and what to do."""

    line: int = Field(ge=1, description="line of the file on which the row starts, from 1")
    field: str | None = Field(default=None, description="as in `messages[2].content`")
    code: ProblemCode
    message: str
    ends: bool = Field(default=False, description="true where nothing after it could be read")


class Report(Frozen):
    """What inspection says of a file: `rows` is `good` and `bad` together."""

    container: Container | None
    form: Form | None = Field(description="what most of the first rows are; null: none we know")
    rows: int
    good: int
    bad: int
    complete: bool = Field(description="false where reading had to stop before the end")
    problems: tuple[Problem, ...] = Field(description="the first ones; the counts are of all")
    problem_counts: dict[ProblemCode, int]
    duplicates: int = Field(description="good rows whose messages an earlier row already has")
    messages: int = Field(description="of good rows")
    characters: int = Field(description="of good rows' messages")
    empty_lines: int
    ignored: dict[str, int] = Field(
        description="fields that are not read -> good rows that have them"
    )
    seconds: float

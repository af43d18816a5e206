"""The words of dataset rows: a row, what can be wrong with one, and how a file is to be read."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from api.spec import Frozen


class Form(StrEnum):
    """The shapes of a row that files come in."""

    MESSAGES = "messages"  # OpenAI: `messages`, or `input` with (non_)preferred_output
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"
    PROMPT_COMPLETION = "prompt_completion"
    TEXT = "text"


class Kind(StrEnum):
    """What a row teaches by, and so which objectives can learn from it."""

    CONVERSATION = "conversation"  # supervised fine-tuning
    TEXT = "text"  # continued pre-training
    PREFERENCE = "preference"  # DPO and its kin
    KTO = "kto"  # one answer with a thumb up or down


class Container(StrEnum):
    """How a file holds its rows."""

    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"
    XLSX = "xlsx"


class Packing(StrEnum):
    """What a container is wrapped in."""

    GZIP = "gzip"
    ZIP = "zip"


class Verdict(StrEnum):
    """What becomes of a row; of several findings the last in this order counts."""

    GOOD = "good"
    WARNED = "warned"  # trained on; worth a look
    REPAIRABLE = "repairable"  # trained on once the repair is accepted, else left out
    BAD = "bad"  # left out


class ProblemCode(StrEnum):
    """What can be found; stable, for machines."""

    # The file.
    EMPTY_FILE = "empty_file"
    UNKNOWN_CONTAINER = "unknown_container"
    NOT_AN_ARRAY = "not_an_array"
    BAD_HEADER = "bad_header"
    TOO_MANY_ROWS = "too_many_rows"
    TOO_MANY_COLUMNS = "too_many_columns"
    BAD_ARCHIVE = "bad_archive"  # torn, encrypted, nested, several files, names that climb out
    UNPACKED_TOO_LARGE = "unpacked_too_large"
    BAD_MAPPING = "bad_mapping"
    READER_CRASHED = "reader_crashed"  # this row ended the reading process, or took too long
    # The bytes of a row.
    NOT_UTF8 = "not_utf8"
    LINE_TOO_LONG = "line_too_long"
    BAD_JSON = "bad_json"
    BAD_CSV = "bad_csv"
    BAD_CELL = "bad_cell"
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
    BAD_LABEL = "bad_label"
    BAD_TOOLS = "bad_tools"
    TOO_MANY_MESSAGES = "too_many_messages"
    EMPTY_QUESTION = "empty_question"
    NO_MESSAGES = "no_messages"
    NO_ANSWER = "no_answer"
    NOTHING_SUPERVISED = "nothing_supervised"
    LAST_TURN_NOT_ASSISTANT = "last_turn_not_assistant"
    SAME_ANSWERS = "same_answers"  # a preference pair whose sides are equal
    # What can be repaired.
    SAME_ROLE_TWICE = "same_role_twice"
    BYTE_ORDER_MARK = "byte_order_mark"
    LABEL_AS_TEXT = "label_as_text"
    WEIGHT_AS_TEXT = "weight_as_text"
    NUMBER_AS_TEXT = "number_as_text"  # a number or a boolean where text is due
    SYSTEM_NOT_FIRST = "system_not_first"
    LEADING_ANSWER = "leading_answer"  # the conversation starts with the assistant
    TRAILING_QUESTION = "trailing_question"  # the conversation ends without an answer
    # What is trained on, and worth a look.
    EMPTY_ANSWER = "empty_answer"
    PLACEHOLDER = "placeholder"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"  # of a held-out or validation row
    FAR_LONGER = "far_longer"
    OTHER_LANGUAGE = "other_language"
    PERSONAL_DATA = "personal_data"
    SECRET = "secret"  # noqa: S105 - the name of a finding
    FORMULA_CELL = "formula_cell"
    HIDDEN_CHARACTERS = "hidden_characters"  # bidirectional controls, zero-width characters
    # What a base model makes of it.
    TOO_LONG = "too_long"
    CUT = "cut"  # shortened at a turn boundary, as was asked for
    TEMPLATE_REFUSED = "template_refused"


FILE_CODES = frozenset(
    {
        ProblemCode.EMPTY_FILE,
        ProblemCode.UNKNOWN_CONTAINER,
        ProblemCode.NOT_AN_ARRAY,
        ProblemCode.BAD_HEADER,
        ProblemCode.TOO_MANY_ROWS,
        ProblemCode.TOO_MANY_COLUMNS,
        ProblemCode.BAD_ARCHIVE,
        ProblemCode.UNPACKED_TOO_LARGE,
        ProblemCode.BAD_MAPPING,
    }
)
"""Findings about the file as a whole; every other one is about one row."""

REPAIRS = frozenset(
    {
        ProblemCode.SAME_ROLE_TWICE,
        ProblemCode.BYTE_ORDER_MARK,
        ProblemCode.LABEL_AS_TEXT,
        ProblemCode.WEIGHT_AS_TEXT,
        ProblemCode.NUMBER_AS_TEXT,
        ProblemCode.SYSTEM_NOT_FIRST,
        ProblemCode.LEADING_ANSWER,
        ProblemCode.TRAILING_QUESTION,
    }
)
"""Findings whose repair can be accepted."""

Role = Literal["system", "user", "assistant", "tool"]


class ToolCall(Frozen):
    """A call the assistant makes. `arguments` is the JSON text of an object."""

    name: str
    arguments: str
    id: str | None = None


class Message(Frozen):
    """One turn, in parts: thoughts, text and tool calls. `weight` 0 keeps an assistant turn as
    context without learning it."""

    role: Role
    content: str
    weight: Literal[0, 1] = 1
    reasoning: str = Field(default="", description="thoughts before the answer, without their tags")
    tool_calls: tuple[ToolCall, ...] = ()
    name: str | None = None
    tool_call_id: str | None = None


class Row(Frozen):
    """One training example. `line` is where it stands in the file, from 1.

    conversation: `messages`, whose assistant turns with weight 1 are learned;
    text: `text` alone, all of it learned;
    preference: `messages` is the prompt, `chosen` and `rejected` the turns that follow it;
    kto: `messages` ends with the answer that `label` praises or blames.
    """

    line: int
    kind: Kind = Kind.CONVERSATION
    messages: tuple[Message, ...] = ()
    tools: str = Field(default="", description="JSON text of the list of tools; empty: none")
    text: str = ""
    chosen: tuple[Message, ...] = ()
    rejected: tuple[Message, ...] = ()
    label: bool | None = None


class Problem(Frozen):
    """A finding about a row: where, what, what to do; `verdict` says what becomes of the row."""

    line: int = Field(ge=1, description="line of the file on which the row starts, from 1")
    field: str | None = Field(default=None, description="as in `messages[2].content`")
    code: ProblemCode
    message: str
    verdict: Verdict = Verdict.BAD
    ends: bool = Field(default=False, description="true where nothing after it could be read")


class Tags(Frozen):
    """How a turn says who speaks and what: sharegpt's words, unless the file has others."""

    role: str = "from"
    content: str = "value"
    user: str | None = None
    assistant: str | None = None
    observation: str | None = None
    function: str | None = None
    system: str | None = None


class Mapping(Frozen):
    """How a file's columns are to be read where detection is wrong or the names are others'.

    `columns` maps our name to the file's: `{"instruction": "question", "output": "answer"}`. Ours
    are those of the form (`instruction`, `input`, `output`, `system`, `history`, `tools`;
    `messages`; `conversations`; `prompt`, `completion`; `text`; `chosen`, `rejected`; `label`).
    """

    form: Form | None = None
    kind: Kind | None = None
    columns: dict[str, str] = Field(default_factory=dict, max_length=32)
    tags: Tags | None = None


class Reading(Frozen):
    """How one file is read: what was detected in its first rows, or a person's correction."""

    form: Form | None = Field(description="null: none we know")
    kind: Kind = Kind.CONVERSATION
    mapping: Mapping = Mapping()


class Parsed(Frozen):
    """One object read: the row, as repaired, unless something about it is bad; and all findings."""

    row: Row | None
    problems: tuple[Problem, ...] = ()

    def verdict(self) -> Verdict:
        found = {problem.verdict for problem in self.problems}
        order = (Verdict.BAD, Verdict.REPAIRABLE, Verdict.WARNED)
        return next((verdict for verdict in order if verdict in found), Verdict.GOOD)


class Histogram(Frozen):
    """Counts over bins: bin i is [edges[i], edges[i + 1])."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Report(Frozen):
    """What inspection says of a file. Each row has one verdict, so the four add up to `rows`."""

    container: Container | None
    packing: Packing | None = None
    form: Form | None = Field(description="what most of the first rows are; null: none we know")
    kind: Kind = Kind.CONVERSATION
    mapping: Mapping = Mapping()
    columns: tuple[str, ...] = Field(default=(), description="names seen in the first rows")
    rows: int
    good: int
    warned: int
    repairable: int
    bad: int
    complete: bool = Field(description="false where reading had to stop before the end")
    problems: tuple[Problem, ...] = Field(description="the first ones; all are in the CSV")
    problem_counts: dict[ProblemCode, int]
    duplicates: int = Field(description="rows whose content an earlier row already has")
    messages: int = Field(description="of rows that are not bad")
    characters: int = Field(description="of rows that are not bad")
    turns: Histogram | None = None
    reasoning: Literal["none", "some", "all"] = Field(
        default="none", description="how many of the learned answers come with thoughts"
    )
    tools: int = Field(default=0, description="rows that define or call tools")
    empty_lines: int
    ignored: dict[str, int] = Field(description="fields that are not read -> rows that have them")
    seconds: float


def json_kind(value: Any) -> str:
    """A JSON value's type in words."""
    names = {type(None): "null", bool: "true or false", str: "text", list: "a list"}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "a number"
    return names.get(type(value), "an object")

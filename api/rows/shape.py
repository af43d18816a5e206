"""How a file is to be read: the form and kind of its rows, by their names and first turns."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from api.rows.findings import shown
from api.rows.turns import READ_IN_TURN, dialect
from api.rows.words import Form, Kind, Mapping, Reading, Tags

LABELS = {
    "true": True,
    "false": False,
    "1": True,
    "0": False,
    "yes": True,
    "no": False,
    "y": True,
    "n": False,
    "good": True,
    "bad": False,
    "up": True,
    "down": False,
    "desirable": True,
    "undesirable": False,
}
"""Texts that say thumb up or down."""

PAIRED = frozenset({"chosen", "rejected", "preferred_output", "non_preferred_output"})
"""Names of the two answers of a preference."""

_TELLING = PAIRED | {"label", "kto_tag"}  # what they hold tells form or kind

COLUMNS: dict[Form, frozenset[str]] = {
    Form.MESSAGES: frozenset({"messages"}),
    Form.ALPACA: frozenset({"instruction", "input", "output", "history"}),
    Form.SHAREGPT: frozenset({"conversations"}),
    Form.PROMPT_COMPLETION: frozenset({"prompt", "completion"}),
    Form.TEXT: frozenset({"text"}),
}
"""The names that only rows of this form have."""

SHARED_COLUMNS = frozenset({"system", "tools", "chosen", "rejected", "label"})
"""The names that rows of every form but text may have."""

NOT_SUPPORTED_IN_ROW = {"images": "images", "videos": "videos", "audios": "sounds"}

_READ_BESIDES = frozenset(
    {"system", "tools", "functions", "parallel_tool_calls", *NOT_SUPPORTED_IN_ROW}
)
_READ_IN_INPUT = frozenset({"messages", "tools", "functions", "parallel_tool_calls"})
_TURNS = (
    "messages",
    "conversations",
    "prompt",
    "completion",
    "chosen",
    "rejected",
    "preferred_output",
    "non_preferred_output",
)
_BY_NAME = (
    ("messages", Form.MESSAGES),
    ("conversations", Form.SHAREGPT),
    ("instruction", Form.ALPACA),
)
_NO_MAPPING = Mapping()
_TAGS = {"role": Tags(role="role", content="content"), "from": Tags()}


def detect(objects: Sequence[object], mapping: Mapping = _NO_MAPPING) -> Reading:
    """What most of the objects are, the earliest of equals; a mapping has the last word."""
    rows = [renamed(obj, mapping.columns) for obj in objects if isinstance(obj, dict)]
    shapes: Counter[tuple[Form, Kind]] = Counter()
    for row in rows:
        if form := mapping.form or form_of(row):
            shapes[form, mapping.kind or kind_of(row, form)] += 1
    if not shapes:
        form, kind = mapping.form, mapping.kind or Kind.CONVERSATION
        return Reading(form=form, kind=Kind.TEXT if form is Form.TEXT else kind, mapping=mapping)
    # Counter keeps the order of arrival among equals.
    form, kind = shapes.most_common(1)[0][0]
    if mapping.tags is None and (tags := _tags(rows, form)):
        mapping = mapping.model_copy(update={"tags": tags})
    return Reading(form=form, kind=kind, mapping=mapping)


def renamed(obj: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """The row in our names. What is mapped is not also read under the name that it has.

    A mapped `label` is surely a thumb, as `kto_tag` is; a bare `label` may be anything.
    """
    if not columns:
        return obj
    theirs = set(columns.values())
    row = {name: value for name, value in obj.items() if name not in theirs and name not in columns}
    row.update((ours, obj[name]) for ours, name in columns.items() if name in obj)
    if "label" in columns:
        row.pop("kto_tag", None)
        if "label" in row:
            row["kto_tag"] = row.pop("label")
    return row


def form_of(row: dict[str, Any]) -> Form | None:
    """The form of one row, by its names alone; None where it is none that we know."""
    pair = row.keys() & PAIRED
    if not pair.isdisjoint(("preferred_output", "non_preferred_output")):
        return Form.MESSAGES
    for name, form in _BY_NAME:
        # Some sets of prompt and answers repeat the chosen conversation as `messages`.
        if name in row and not (pair and row.get("prompt") is not None):
            return form
    if "input" in row and "output" in row:
        return Form.ALPACA
    if "completion" in row or len(pair) == 2 or (pair and "prompt" in row):
        return Form.PROMPT_COMPLETION
    return Form.TEXT if "text" in row else None


def kind_of(row: dict[str, Any], form: Form) -> Kind:
    """What a row of this form teaches by."""
    if form is Form.TEXT:
        return Kind.TEXT
    if not PAIRED.isdisjoint(row) and any(row.get(name) is not None for name in PAIRED):
        return Kind.PREFERENCE
    if row.get("kto_tag") is not None or ("label" in row and _is_label(row["label"])):
        return Kind.KTO
    return Kind.CONVERSATION


@lru_cache(maxsize=64)
def by_names(names: tuple[str, ...]) -> tuple[Form, Kind] | None:
    """What a row with these names is, whatever it holds; None where it is not that simple."""
    if not _TELLING.isdisjoint(names):
        return None
    row = dict.fromkeys(names)
    form = form_of(row)
    return None if form is None else (form, kind_of(row, form))


def _is_label(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in LABELS
    return isinstance(value, bool | int | float) and value in (0, 1)


def _tags(rows: list[dict[str, Any]], form: Form) -> Tags | None:
    """The tags that most rows' first turns have, where they are not what the form is known by."""
    role = dialect(form, None).role
    found: Counter[str] = Counter()
    for row in rows:
        lists = (row[name] for name in _TURNS if isinstance(row.get(name), list))
        for turn in next(lists, [])[:1]:
            if isinstance(turn, dict) and "role" in turn and "content" in turn:
                found["role"] += 1
            elif isinstance(turn, dict) and "from" in turn and "value" in turn:
                found["from"] += 1
    most = found.most_common(1)[0][0] if found else role
    return None if most == role else _TAGS[most]


class Ignored:
    """Finds what rows have and their reading does not use: `id`, `messages[].created`."""

    def __init__(self, reading: Reading) -> None:
        self._columns = reading.mapping.columns
        self._form, self._kind = reading.form, reading.kind
        self._known: dict[tuple[str, ...], list[str]] = {}
        if reading.form is None:
            return
        spoken = dialect(reading.form, reading.mapping.tags)
        self._in_turn = READ_IN_TURN | {spoken.role, spoken.content}
        self._read = _READ[reading.form, reading.kind]
        turns = _TURN_COLUMNS[reading.form, reading.kind]
        self._turns = [self._columns.get(name, name) for name in turns]
        self._of_input = reading.form is Form.MESSAGES and reading.kind is Kind.PREFERENCE

    def names(self, obj: dict[str, Any]) -> list[str]:
        """The names of these in one row. What a row's own fields come to is kept for the next."""
        if self._form is None:
            return []
        key = tuple(obj)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._of_row(obj)
        for name in self._turns:
            if name in obj and (others := self._others(obj[name])):
                found = found + _in_turns(others, obj[name], shown(name))
        if self._of_input and isinstance(inner := obj.get("input"), dict):
            turns = inner.get("messages")
            found = found + [f"input.{shown(name)}" for name in inner if name not in _READ_IN_INPUT]
            found += _in_turns(self._others(turns), turns, "input.messages")
        return found

    def _of_row(self, obj: dict[str, Any]) -> list[str]:
        ours = {theirs: name for name, theirs in self._columns.items()}
        found = []
        for name in obj:
            # A name of ours that is mapped elsewhere is not read where it stands.
            used = name not in self._columns and name in self._read
            if not used and ours.get(name) not in self._read:
                found.append(shown(name))
        return found

    def _others(self, turns: object) -> set[str]:
        seen: set[str] = set()
        for turn in turns if isinstance(turns, list) else (turns,):
            if isinstance(turn, dict) and len(turn) > 2:
                seen |= turn.keys()
        return seen - self._in_turn if seen else seen


def _in_turns(names: set[str], turns: object, field: str) -> list[str]:
    mark = "[]" if isinstance(turns, list) else ""
    return [f"{field}{mark}.{shown(name)}" for name in sorted(names)]


def ignored(obj: dict[str, Any], reading: Reading) -> Iterator[str]:
    """What one row has and its reading does not use."""
    yield from Ignored(reading).names(obj)


def _read(form: Form, kind: Kind) -> frozenset[str]:
    if form is Form.TEXT:
        return COLUMNS[form]
    names = COLUMNS[form] | _READ_BESIDES
    if kind is Kind.PREFERENCE:
        names |= PAIRED if form is Form.MESSAGES else {"chosen", "rejected"}
        if form is Form.MESSAGES:
            names |= {"input"}
        names -= {"output", "completion"}
    return names | {"label", "kto_tag"} if kind is Kind.KTO else names


_READ = {(form, kind): _read(form, kind) for form in Form for kind in Kind}
_TURN_COLUMNS = {
    shape: tuple(name for name in _TURNS if name in names) for shape, names in _READ.items()
}

"""How a person says a file is to be read: our Mapping, or LLaMA-Factory's dataset_info.json."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from api.rows.findings import names_of, shown
from api.rows.shape import COLUMNS, SHARED_COLUMNS
from api.rows.words import Form, Kind, Mapping, Tags, json_kind

# LLaMA-Factory's names for columns, and ours.
_TABLE = {"prompt": "instruction", "query": "input", "response": "output", "history": "history"}
_SHARED = {
    "system": "system",
    "tools": "tools",
    "chosen": "chosen",
    "rejected": "rejected",
    "kto_tag": "label",
}
_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "observation",
    "function_tag": "function",
    "system_tag": "system",
}
_MEDIA = frozenset({"images", "videos", "audios"})
_FORMATS = {"alpaca": Form.ALPACA, "sharegpt": Form.SHAREGPT, "openai": Form.MESSAGES}
# Where LLaMA-Factory takes the file from. We have it, so it does not matter.
_SOURCES = frozenset(
    {
        "file_name",
        "hf_hub_url",
        "ms_hub_url",
        "om_hub_url",
        "cloud_file_name",
        "subset",
        "split",
        "folder",
        "revision",
    }
)
_REFUSED = {
    "script_url": "A script would make the rows: run it, and upload what it makes.",
    "num_samples": "All rows of a file are read: upload the ones that are wanted.",
}
_ENTRY = frozenset({"formatting", "ranking", "columns", "tags", *_SOURCES, *_REFUSED})
# What only an entry of theirs has, where `columns` and `tags` could be ours.
_ONLY_THEIRS = _ENTRY - {"columns", "tags"}
_COLUMNS_ONLY_THEIRS = frozenset({"query", "response", *_MEDIA})


class MappingError(ValueError):
    """The mapping cannot be used; `problems` says all that is wrong with it."""

    def __init__(self, *problems: str) -> None:
        super().__init__(" ".join(problems))
        self.problems: tuple[str, ...] = problems


def check_mapping(value: object) -> Mapping:
    """Our Mapping as JSON, or a dataset_info.json: the whole file with one entry, or an entry."""
    if not isinstance(value, dict):
        raise MappingError(f"The mapping is {json_kind(value)}. Make it a JSON object.")
    if _is_entry(value):
        return _read_entry(value)
    if value and not value.keys() & {"form", "kind", "columns", "tags"} and _is_file(value):
        return _read_entry(_choose(value, filename="", entry=None))
    try:
        mapping = Mapping.model_validate(value)
    except ValidationError as error:
        raise MappingError(*_explained(error)) from None
    if "kto_tag" in mapping.columns and "label" not in mapping.columns:
        columns = {"label" if k == "kto_tag" else k: name for k, name in mapping.columns.items()}
        mapping = mapping.model_copy(update={"columns": columns})
    problems = tuple(_problems(mapping))
    if problems:
        raise MappingError(*problems)
    return mapping


def read_dataset_info(value: object, *, filename: str, entry: str | None = None) -> Mapping:
    """The entry of a dataset_info.json that is named, or is about this file, or is the only one."""
    if not isinstance(value, dict):
        raise MappingError(f"The file is {json_kind(value)}. A dataset_info.json is an object.")
    if entry is None and _is_entry(value):
        return _read_entry(value)
    return _read_entry(_choose(value, filename=filename, entry=entry))


def _is_entry(value: dict[str, Any]) -> bool:
    columns, tags = value.get("columns"), value.get("tags")
    return (
        any(name in _ONLY_THEIRS and not isinstance(value[name], dict) for name in value)
        or (isinstance(columns, dict) and not _COLUMNS_ONLY_THEIRS.isdisjoint(columns))
        or (isinstance(tags, dict) and not _TAGS.keys().isdisjoint(tags))
    )


def _is_file(value: dict[str, Any]) -> bool:
    return all(isinstance(entry, dict) for entry in value.values())


def _choose(entries: dict[str, Any], *, filename: str, entry: str | None) -> dict[str, Any]:
    there = f"The entries are {names_of(entries)}."
    if entry is not None:
        if entry not in entries:
            raise MappingError(f"There is no entry `{shown(entry)}`. {there}")
        chosen = entries[entry]
    else:
        about = [one for one in entries.values() if isinstance(one, dict)]
        about = [one for one in about if filename and one.get("file_name") == filename]
        if not about and len(entries) == 1:
            about = list(entries.values())
        if len(about) != 1:
            count = "No" if not about else "More than one"
            named = f" has the file_name `{shown(filename)}`" if filename else " can be told apart"
            raise MappingError(f"{count} entry{named}. Say which to use. {there}")
        chosen = about[0]
    if not isinstance(chosen, dict):
        raise MappingError(f"The entry is {json_kind(chosen)}. Make it an object.")
    return chosen


def _read_entry(entry: dict[str, Any]) -> Mapping:
    """One entry, with everything that is wrong with it at once."""
    problems = [f"`{shown(name)}` is no key that we know." for name in entry if name not in _ENTRY]
    problems += [f"`{name}`: {says}" for name, says in _REFUSED.items() if entry.get(name)]
    formatting, ranking = entry.get("formatting", "alpaca"), entry.get("ranking", False)
    form = _FORMATS.get(formatting) if isinstance(formatting, str) else None
    if form is None:
        problems.append("`formatting` must be `alpaca`, `sharegpt` or `openai`.")
        form = Form.ALPACA
    if not isinstance(ranking, bool):
        problems.append("`ranking` must be true or false.")
    given = _texts(entry.get("columns"), "columns", problems)
    tags = _read_tags(_texts(entry.get("tags"), "tags", problems), form, problems)
    form, columns = _read_columns(given, form, problems)
    kind = Kind.TEXT if form is Form.TEXT else Kind.CONVERSATION
    if ranking is True:
        kind = Kind.PREFERENCE
    elif "label" in columns:
        kind = Kind.KTO
    mapping = Mapping(form=form, kind=kind, columns=columns, tags=tags)
    problems += _problems(mapping)
    if problems:
        raise MappingError(*problems)
    return mapping


def _texts(value: object, name: str, problems: list[str]) -> dict[str, str]:
    """An object of texts; what is null is as if it were not there."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.append(f"`{name}` is {json_kind(value)}. Make it an object.")
        return {}
    texts = {}
    for key, text in value.items():
        if isinstance(text, str) and text and text.isprintable():
            texts[key] = text
        elif text is not None:
            problems.append(f"`{name}.{shown(key)}` must be a name.")
    return texts


def _read_columns(
    given: dict[str, str], form: Form, problems: list[str]
) -> tuple[Form, dict[str, str]]:
    turns = "messages" if form is Form.MESSAGES else "conversations"
    known = _SHARED | (_TABLE if form is Form.ALPACA else {"messages": turns})
    for name in given:
        if name in _MEDIA:
            problems.append(f"`columns.{name}`: images, videos and sounds are not supported.")
        elif name not in known and name not in _TABLE and name != "messages":
            problems.append(f"`columns.{shown(name)}` is no column that we know.")
    if form is Form.ALPACA and given.keys() == {"prompt"}:
        # LLaMA-Factory's way to say plain text: a prompt without a response.
        return Form.TEXT, {"text": given["prompt"]}
    # As there, a column of the other formatting is not looked at.
    return form, {known[name]: theirs for name, theirs in given.items() if name in known}


def _read_tags(given: dict[str, str], form: Form, problems: list[str]) -> Tags | None:
    unknown = [name for name in given if name not in _TAGS]
    problems += [f"`tags.{shown(name)}` is no tag that we know." for name in unknown]
    if form is Form.ALPACA or not given:
        return None
    return Tags(**{_TAGS[name]: word for name, word in given.items() if name in _TAGS})


def _explained(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        field = ".".join(shown(str(part)) for part in fault["loc"])
        yield f"`{field}`: {fault['msg']}."


def _problems(mapping: Mapping) -> Iterator[str]:
    """What the types do not say."""
    form, kind, columns = mapping.form, mapping.kind, mapping.columns
    names = (COLUMNS[form] if form else frozenset().union(*COLUMNS.values())) | SHARED_COLUMNS
    if form is Form.TEXT:
        names = COLUMNS[form]
    of_form = f"of form {form}" if form else "of any form"
    for ours, theirs in columns.items():
        if ours not in names:
            known = ", ".join(sorted(names))
            yield f"`columns.{shown(ours)}` is no column {of_form}. Use {known}."
        if not theirs or not theirs.isprintable():
            yield f"`columns.{shown(ours)}` must be a name."
    for theirs in sorted(
        {name for name in columns.values() if [*columns.values()].count(name) > 1}
    ):
        yield f"The column `{shown(theirs)}` is mapped twice."
    if form and kind and (form is Form.TEXT) != (kind is Kind.TEXT):
        yield f"Rows of form {form} are not of kind {kind}."
    if mapping.tags:
        yield from _tag_problems(mapping.tags)


def _tag_problems(tags: Tags) -> Iterator[str]:
    words = [tags.user, tags.assistant, tags.observation, tags.function, tags.system]
    given = [word for word in words if word is not None]
    if len(set(given)) < len(given):
        yield "Two of `tags` are the same word, so it does not say who speaks."
    if tags.role == tags.content:
        yield "`tags.role` and `tags.content` are the same name."

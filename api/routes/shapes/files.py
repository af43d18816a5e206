"""Files: what was uploaded, and what was found in it."""

from typing import Literal, NotRequired

from api.encodings import Recipe
from api.routes.shapes import Paged, Shape
from api.rows import Kind, Mapping, Problem, ProblemCode
from api.rows.words import Container, Form, Histogram, Packing

FileStatus = Literal["uploaded", "processed", "error"]


class File(Shape):
    """OpenAI's file, and what was counted in it; null while it is being read."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: FileStatus
    status_details: str | None
    sha256: str
    form: Form | None
    kind: Kind | None
    rows: int | None
    good_rows: int | None
    warned_rows: int | None
    repairable_rows: int | None
    bad_rows: int | None


class FileList(Paged):
    data: list[File]


class DeletedFile(Shape):
    id: str
    object: Literal["file"]
    deleted: Literal[True]


class FileContents(Shape):
    """What inspection found; `fault` says why a file cannot be used. Where reading broke, only
    what is known is there."""

    container: NotRequired[Container | None]
    packing: NotRequired[Packing | None]
    form: NotRequired[Form | None]
    kind: NotRequired[Kind]
    mapping: NotRequired[Mapping]
    columns: NotRequired[list[str]]
    rows: NotRequired[int]
    good: NotRequired[int]
    warned: NotRequired[int]
    repairable: NotRequired[int]
    bad: NotRequired[int]
    complete: NotRequired[bool]
    problems: NotRequired[list[Problem]]
    problem_counts: NotRequired[dict[ProblemCode, int]]
    duplicates: NotRequired[int]
    messages: NotRequired[int]
    characters: NotRequired[int]
    turns: NotRequired[Histogram | None]
    reasoning: NotRequired[Literal["none", "some", "all"]]
    tools: NotRequired[int]
    empty_lines: NotRequired[int]
    ignored: NotRequired[dict[str, int]]
    seconds: NotRequired[float]
    fault: NotRequired[str]


class Cutoff(Shape):
    """What a cutoff would lose if longer rows were left out."""

    cutoff_len: int
    rows: int
    tokens: int


class MixedPart(Shape):
    encoding_id: str
    rows: int


class LeakedLine(Shape):
    file: int
    training: int
    validation: int


class LeakageFound(Shape):
    exact: int
    near: int
    lines: list[LeakedLine]


class EncodingReport(Shape):
    """What a base model makes of the rows. `files`: of a mixture; `leakage`: of a comparison."""

    kind: NotRequired[Kind]
    thinking: NotRequired[bool]
    bad_rows: NotRequired[int]
    unrepaired_rows: NotRequired[int]
    too_long_rows: NotRequired[int]
    cut_rows: NotRequired[int]
    near_duplicates: NotRequired[int]
    problems: NotRequired[list[Problem]]
    problem_counts: NotRequired[dict[ProblemCode, int]]
    train_rows: NotRequired[int]
    train_tokens: NotRequired[int]
    held_out_rows: NotRequired[int]
    held_out_tokens: NotRequired[int]
    supervised_tokens: NotRequired[int]
    unlearnable_rows: NotRequired[int]
    longest_row: NotRequired[int]
    tokens: NotRequired[Histogram | None]
    supervised_share: NotRequired[Histogram | None]
    cutoffs: NotRequired[list[Cutoff]]
    proposed_cutoff_len: NotRequired[int]
    dataset_sha256: NotRequired[str]
    sha256: NotRequired[str]
    bytes: NotRequired[int]
    files: NotRequired[list[MixedPart]]
    leakage: NotRequired[LeakageFound]
    fault: NotRequired[str]


class EncodingFound(Shape):
    id: str
    status: Literal["pending", "ready", "failed"]
    recipe: Recipe
    report: EncodingReport | None


class ReadingProgress(Shape):
    rows: int
    good: int
    bad: int


class Report(Shape):
    """A file's report, and that of what a base model makes of it."""

    object: Literal["file.report"]
    file_id: str
    status: FileStatus
    progress: ReadingProgress | None
    mapping: Mapping | None
    repairs: list[ProblemCode]
    report: FileContents | None
    encoding: EncodingFound | None

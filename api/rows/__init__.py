"""Dataset rows: the one internal form, and what can be wrong with a row. No I/O.

Whatever a file looks like (alpaca, sharegpt, OpenAI messages, prompt and completion, plain text),
a row becomes a `Row`. `words` says what there is, `shape` what a file is and `mapping` what a
person says it is; `parse` reads one row, with `turns` and `tools` for what stands in it and
`repair` for the order of its turns.
"""

from api.rows.findings import shown
from api.rows.mapping import MappingError, check_mapping, read_dataset_info
from api.rows.parse import parse_row
from api.rows.shape import Ignored, detect, ignored
from api.rows.words import (
    FILE_CODES,
    REPAIRS,
    Container,
    Form,
    Histogram,
    Kind,
    Mapping,
    Message,
    Packing,
    Parsed,
    Problem,
    ProblemCode,
    Reading,
    Report,
    Role,
    Row,
    Tags,
    ToolCall,
    Verdict,
    json_kind,
)

__all__ = [
    "FILE_CODES",
    "REPAIRS",
    "Container",
    "Form",
    "Histogram",
    "Ignored",
    "Kind",
    "Mapping",
    "MappingError",
    "Message",
    "Packing",
    "Parsed",
    "Problem",
    "ProblemCode",
    "Reading",
    "Report",
    "Role",
    "Row",
    "Tags",
    "ToolCall",
    "Verdict",
    "check_mapping",
    "detect",
    "ignored",
    "json_kind",
    "parse_row",
    "read_dataset_info",
    "shown",
]

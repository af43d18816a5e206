"""The CPU worker: read every row of an upload, say what is wrong, encode what is right.

The encoded dataset is made once and is then what is previewed, priced and trained on. Both tasks
hold a lease that they renew as they go, and write nothing once it is lost.
"""

import heapq
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from api import datasets, jobs, storage
from api.catalog import base_model
from api.db import transaction
from api.rows import Problem, ProblemCode, Row
from api.settings import settings
from api.tables import Dataset, Encoding
from workers import cache, containers
from workers.engine.encoded import Encoded, EncodedWriter
from workers.engine.template import EncodedRow, Template, TemplateError

log = structlog.get_logger()

ENCODED = "encoded.safetensors"
BATCH_ROWS = 256
HELD_OUT_ROWS_KEPT = 32
RENEW_SECONDS = 10.0


class Lost(Exception):
    """Somebody else has taken the file over."""


def inspect(dataset_id: str) -> None:
    """Read a sealed file row by row and write its report."""
    with transaction() as session:
        dataset = datasets.claim_inspection(session, dataset_id)
    if dataset is None:
        return
    renew = _Renewal(lambda session: datasets.renew_inspection(session, dataset))
    found = containers.rows(_bytes(dataset), filename=dataset.filename)
    with _let_go_of(dataset):
        for _ in found:
            renew()
    report = found.report()
    usable = report.complete and report.good > 0
    body = report.model_dump(mode="json")
    if not usable:
        body["fault"] = _fault(dataset.filename, report.problems)
    with transaction() as session:
        datasets.report(session, dataset, report=body, usable=usable)
        if usable and dataset.purpose == "fine-tune":
            dataset.status = "processed"
            datasets.want_default_encoding(session, dataset)
    log.info("dataset.inspected", dataset=dataset_id, rows=report.rows, bad=report.bad)


def encode(encoding_id: str) -> None:
    """Encode an inspected file for one base model, then price and queue the jobs that wait."""
    with transaction() as session:
        claimed = datasets.claim_encoding(session, encoding_id)
    if claimed is None:
        return
    encoding, dataset = claimed
    if dataset.status == "error":
        report, usable = {"fault": (dataset.report or {}).get("fault", "unreadable")}, False
    else:
        with _let_go_of(encoding):
            report, usable = _encode(encoding, dataset)
    with transaction() as session:
        if datasets.encoded(session, encoding, report=report, usable=usable):
            jobs.admit_waiting(session)


@dataclass(slots=True)
class _Tally:
    """What encoding leaves out, and the held-out rows it keeps for people to try."""

    too_long: int = 0
    bad: int = 0
    longest: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)
    # A heap of (-hash, line, messages): the smallest hashes are the ones that are held out.
    smallest: list[tuple[int, int, list[dict[str, Any]]]] = field(default_factory=list)

    def note(self, problem: Problem) -> None:
        if len(self.problems) < settings().problems_max:
            self.problems.append(problem.model_dump(mode="json"))

    def keep(self, row_hash: int, row: Row) -> None:
        messages = [message.model_dump(mode="json") for message in row.messages]
        heapq.heappush(self.smallest, (-row_hash, -row.line, messages))
        if len(self.smallest) > HELD_OUT_ROWS_KEPT:
            heapq.heappop(self.smallest)


def _encode(encoding: Encoding, dataset: Dataset) -> tuple[dict[str, Any], bool]:
    base = base_model(encoding.base_model)
    template = Template.load(cache.base_folder(base, weights=False))
    renew = _Renewal(lambda session: datasets.renew_encoding(session, encoding))
    tally = _Tally()
    metadata = {
        "template": template.fingerprint,
        "base_model": base.id,
        "base_revision": base.revision,
        "cutoff_len": str(encoding.cutoff_len),
        "dataset_sha256": dataset.sha256,
    }
    with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        path = Path(folder) / ENCODED
        with EncodedWriter(path, metadata) as writer:
            for batch in _batches(
                containers.rows(_bytes(dataset), filename=dataset.filename), tally
            ):
                _add(batch, template, writer, tally, encoding.cutoff_len)
                renew()
            writer.close(encoding.held_out_share)
        return _publish(encoding, dataset, path, tally)


def _batches(found: containers.Rows, tally: _Tally) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for item in found:
        if isinstance(item, Problem):
            tally.note(item)
            continue
        batch.append(item)
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch
    tally.bad += found.bad


def _add(
    rows: list[Row], template: Template, writer: EncodedWriter, tally: _Tally, cutoff_len: int
) -> None:
    for row, encoded in zip(rows, _encoded_rows(rows, template), strict=True):
        if isinstance(encoded, TemplateError):
            tally.bad += 1
            tally.note(_problem(row, ProblemCode.TEMPLATE_REFUSED, str(encoded)))
            continue
        length = len(encoded.ids)
        tally.longest = max(tally.longest, length)
        if length > cutoff_len:
            tally.too_long += 1
            message = (
                f"This row has {length:,} tokens and cutoff_len is {cutoff_len:,}. Shorten it, "
                "raise cutoff_len, or leave it out."
            )
            tally.note(_problem(row, ProblemCode.TOO_LONG, message))
            continue
        tally.keep(writer.add(encoded.ids, encoded.supervised, row.line), row)


def _encoded_rows(rows: list[Row], template: Template) -> list[EncodedRow | TemplateError]:
    """All at once; where the template refuses one of them, one by one to find out which."""
    try:
        return list(template.encode_batch([row.messages for row in rows]))
    except TemplateError:
        return [_encoded_row(row, template) for row in rows]


def _encoded_row(row: Row, template: Template) -> EncodedRow | TemplateError:
    try:
        return template.encode(row.messages)
    except TemplateError as error:
        return error


def _publish(
    encoding: Encoding, dataset: Dataset, path: Path, tally: _Tally
) -> tuple[dict[str, Any], bool]:
    """Upload the artifact and what people may try it with. Returns the report, and whether any row
    can be trained on."""
    left_out = {
        "bad_rows": tally.bad,
        "too_long_rows": tally.too_long,
        "problems": tally.problems,
    }
    data = Encoded.open(path)
    if not len(data.train_rows):
        reason = "Every row was left out." if tally.problems else "No row has an answer to learn."
        return left_out | {
            "fault": f"No row of {dataset.filename} can be trained on. {reason}"
        }, False
    prefix = storage.encoding_prefix(encoding.tenant_id, encoding.id)
    kept = sorted(tally.smallest, reverse=True)
    # Nothing is held out of a validation file: all of it is never trained on.
    count = len(data.held_out_rows) if encoding.held_out_share else len(kept)
    held_out = [{"line": -line, "messages": messages} for _, line, messages in kept[:count]]
    storage.put(prefix + storage.HELD_OUT, storage.json_bytes(held_out))
    sha256 = storage.put_file(prefix + ENCODED, path)
    return left_out | {
        "key": prefix + ENCODED,
        "sha256": sha256,
        "dataset_sha256": dataset.sha256,
        "bytes": path.stat().st_size,
        "train_rows": len(data.train_rows),
        "train_tokens": data.tokens(data.train_rows),
        "held_out_rows": len(data.held_out_rows),
        "held_out_tokens": data.tokens(data.held_out_rows),
        "longest_row": tally.longest,
    }, True


@contextmanager
def _let_go_of(row: Dataset | Encoding) -> Iterator[None]:
    """Where reading breaks on our side, the next attempt need not wait for the lease to run out."""
    try:
        yield
    except Lost:
        raise
    except Exception:
        with transaction() as session:
            datasets.let_go(session, row)
        raise


class _Renewal:
    """Call it often; it renews the lease when that is due. Raises Lost where it is gone."""

    def __init__(self, renew: Callable[[Any], bool]) -> None:
        self._renew = renew
        self._renewed_at = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._renewed_at < RENEW_SECONDS:
            return
        with transaction() as session:
            if not self._renew(session):
                raise Lost
        self._renewed_at = time.monotonic()


def _bytes(dataset: Dataset) -> Iterator[bytes]:
    return storage.stream(storage.dataset_key(dataset.tenant_id, dataset.id))


def _scratch() -> Path:
    folder = settings().cache_path() / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _problem(row: Row, code: ProblemCode, message: str) -> Problem:
    return Problem(line=row.line, field=None, code=code, message=message)


def _fault(filename: str, problems: tuple[Problem, ...]) -> str:
    first = problems[0] if problems else None
    why = f" Line {first.line}: {first.message}" if first else ""
    return f"{filename} cannot be used.{why}"

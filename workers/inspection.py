"""The CPU worker: read every row of an upload, say what is wrong, encode what is right.

The encoded dataset is made once and is then what is previewed, priced and trained on. Strangers'
bytes are read by `workers.preflight` in a process of its own; here are leases, storage and rows of
tables. Nothing is written once a lease is lost.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import structlog
from sqlalchemy.orm import Session

from api import datasets, encodings, jobs, storage
from api.catalog import base_model
from api.db import transaction
from api.encodings import FileRecipe, LeakageRecipe, MixRecipe
from api.rows import Problem, ProblemCode
from api.settings import settings
from api.tables import Dataset, Encoding
from workers import cache, preflight
from workers.engine.encoded import Encoded
from workers.engine.template import Template
from workers.preflight import Progress, Sketches, Unreadable

log = structlog.get_logger()

RENEW_SECONDS = 10.0
TELL_SECONDS = 1.0


class Lost(Exception):
    """Somebody else has taken the file over."""


def inspect(dataset_id: str) -> None:
    """Read a sealed file row by row and write its report."""
    with transaction() as session:
        dataset = datasets.claim_inspection(session, dataset_id)
    if dataset is None:
        return
    prefix = storage.dataset_prefix(dataset.tenant_id, dataset.id)
    with _folder() as folder, _let_go_of(datasets.let_go, dataset):
        options = {"filename": dataset.filename, "mapping": dataset.mapping}
        try:
            preflight.run(
                preflight.inspect,
                partial(_bytes, dataset),
                folder=folder,
                options=options,
                beat=_Teller(dataset),
            )
        except Unreadable as error:
            report = _unreadable(error)
        else:
            report = orjson.loads((folder / preflight.REPORT).read_bytes())
            storage.put_file(storage.findings_key(prefix), folder / preflight.FINDINGS)
    usable = report["complete"] and report["rows"] > report["bad"]
    if not usable:
        report["fault"] = _fault(dataset.filename, report["problems"])
    with transaction() as session:
        datasets.report(session, dataset, report=report, usable=usable)
    log.info(
        "dataset.inspected",
        dataset=dataset_id,
        **{name: report[name] for name in ("rows", "good", "warned", "repairable", "bad")},
    )


def encode(encoding_id: str) -> None:
    """Make an encoding, then price and queue the jobs that wait for it."""
    with transaction() as session:
        claimed = encodings.claim(session, encoding_id)
    if claimed is None:
        return
    encoding, dataset, parts = claimed
    faults = [fault for part in parts if (fault := _fault_of(part))]
    if dataset.status == "error":
        faults.append((dataset.report or {}).get("fault", f"{dataset.filename} is unreadable."))
    if faults:
        report, usable = {"fault": " ".join(faults)}, False
    else:
        with _folder() as folder, _let_go_of(encodings.let_go, encoding):
            report, usable = _made(encoding, dataset, parts, folder)
    with transaction() as session:
        if encodings.done(session, encoding, report=report, usable=usable):
            jobs.admit_waiting(session)


def _made(
    encoding: Encoding, dataset: Dataset, parts: list[Encoding], folder: Path
) -> tuple[dict[str, Any], bool]:
    """Make it by its recipe. Returns the report, and whether it can be used."""
    renew = _Renewal(lambda session: encodings.renew(session, encoding))
    match encodings.recipe_of(encoding):
        case FileRecipe() as recipe:
            return _encode(encoding, dataset, recipe, folder, renew)
        case MixRecipe() as recipe:
            return _mix(encoding, recipe, parts, folder)
        case LeakageRecipe():
            *training, validation = [(_artifact(part), _sketches(part, folder)) for part in parts]
            return {"leakage": preflight.leakage(training, validation)}, True


def _encode(
    encoding: Encoding,
    dataset: Dataset,
    recipe: FileRecipe,
    folder: Path,
    renew: Callable[[Progress], None],
) -> tuple[dict[str, Any], bool]:
    base = base_model(recipe.base_model)
    base_folder = cache.base_folder(base, weights=False)
    thinking = recipe.thinking
    if thinking is None:
        thinking = (dataset.report or {}).get("reasoning", "none") != "none"
    options = preflight.EncodeOptions(
        filename=dataset.filename,
        mapping=recipe.mapping,
        repairs=frozenset(recipe.repairs),
        base_folder=base_folder,
        context=base.context,
        cutoff_len=recipe.cutoff_len,
        held_out_share=recipe.held_out_share,
        over_long=recipe.over_long,
        train_on=recipe.train_on,
        thinking=thinking,
        metadata={
            "base_model": base.id,
            "base_revision": base.revision,
            "dataset_sha256": dataset.sha256,
        },
    )
    try:
        preflight.run(
            preflight.encode,
            partial(_bytes, dataset),
            folder=folder,
            options=options.model_dump(mode="json"),
            beat=renew,
        )
    except Unreadable as error:
        return {"fault": _fault(dataset.filename, _unreadable(error)["problems"])}, False
    report = orjson.loads((folder / preflight.REPORT).read_bytes())
    report["dataset_sha256"] = dataset.sha256
    if not report["train_rows"]:
        why = "Every row was left out." if report["problems"] else "No row has anything to learn."
        report["fault"] = f"No row of {dataset.filename} can be trained on. {why}"
    prefix = storage.encoding_prefix(encoding.tenant_id, encoding.id)
    storage.put_file(storage.findings_key(prefix), folder / preflight.FINDINGS)
    if "fault" in report:
        return report, False
    storage.put_file(prefix + preflight.SKETCHES, folder / preflight.SKETCHES)
    storage.put_file(prefix + storage.HELD_OUT, folder / preflight.HELD_OUT)
    _leave_pieces(base_folder)
    return report | _uploaded(prefix, folder / preflight.ENCODED), True


def _mix(
    encoding: Encoding, recipe: MixRecipe, parts: list[Encoding], folder: Path
) -> tuple[dict[str, Any], bool]:
    path = folder / preflight.ENCODED
    reports = [part.report or {} for part in parts]
    try:
        preflight.mix(
            [_artifact(part) for part in parts],
            path,
            weights=recipe.weights,
            strategy=recipe.strategy,
            seed=recipe.seed,
            metadata={"mixed": json.dumps([part.key for part in parts])},
        )
    except preflight.MixError as error:
        return {"fault": f"These files cannot be mixed: {error}."}, False
    data = Encoded.open(path)
    sides = 2 if data.metadata["kind"] == "preference" else 1
    report = {
        "kind": data.metadata["kind"],
        "thinking": data.metadata["thinking"] == "1",
        "train_rows": len(data.train_rows) // sides,
        "train_tokens": data.tokens(data.train_rows),
        "held_out_rows": len(data.held_out_rows) // sides,
        "held_out_tokens": data.tokens(data.held_out_rows),
        "supervised_tokens": data.supervised_tokens(data.train_rows),
        "longest_row": int(data.lengths.max(initial=0)),
        "dataset_sha256": "+".join(one["dataset_sha256"] for one in reports),
        "files": [
            {
                "encoding_id": part.id,
                "rows": int(np.sum(data.source[data.train_rows] == n)) // sides,
            }
            for n, part in enumerate(parts)
        ],
        "proposed_cutoff_len": max(one["proposed_cutoff_len"] for one in reports),
    }
    if not report["train_rows"]:
        return report | {"fault": "With these weights the mixture has no rows."}, False
    prefix = storage.encoding_prefix(encoding.tenant_id, encoding.id)
    held_out = [
        row
        for part in parts
        for row in storage.get_json(
            storage.encoding_prefix(part.tenant_id, part.id) + storage.HELD_OUT
        )
    ]
    storage.put(prefix + storage.HELD_OUT, storage.json_bytes(held_out))
    return report | _uploaded(prefix, path), True


def _uploaded(prefix: str, path: Path) -> dict[str, Any]:
    key = prefix + preflight.ENCODED
    return {"key": key, "sha256": storage.put_file(key, path), "bytes": path.stat().st_size}


def _leave_pieces(base_folder: Path) -> None:
    """What bytes each token stands for, once for each tokenizer: previews read it."""
    template = Template.load(base_folder)
    key = storage.pieces_key(template.fingerprint)
    if not storage.exists(key):
        pieces = [piece.decode("latin-1") for piece in template.pieces()]
        storage.put(key, orjson.dumps(pieces), content_type="application/json")


def _artifact(part: Encoding) -> Path:
    report = part.report or {}
    return cache.artifact(report["key"], report["sha256"])


def _sketches(part: Encoding, folder: Path) -> Sketches:
    path = folder / f"{part.id}.npz"
    prefix = storage.encoding_prefix(part.tenant_id, part.id)
    storage.get_file(prefix + preflight.SKETCHES, path)
    return Sketches.load(path)


def _fault_of(part: Encoding) -> str | None:
    report = part.report or {}
    return report.get("fault", "A file of it is gone.") if part.status == "failed" else None


def _unreadable(error: Unreadable) -> dict[str, Any]:
    """The report of a file that ended its reader."""
    problem = Problem(
        line=max(1, error.crash.row),
        code=ProblemCode.READER_CRASHED,
        message=f"Reading stopped at row {error.crash.row}: {error.crash.why}.",
        ends=True,
    )
    counts = dict.fromkeys(("rows", "good", "warned", "repairable", "bad"), 0)
    return counts | {"complete": False, "problems": [problem.model_dump(mode="json")]}


@contextmanager
def _let_go_of(let_go: Callable[[Session, Any], None], row: Dataset | Encoding) -> Iterator[None]:
    """Where reading breaks on our side, the next attempt need not wait for the lease to run out."""
    try:
        yield
    except Lost:
        raise
    except Exception:
        with transaction() as session:
            let_go(session, row)
        raise


class _Renewal:
    """Call it often; it renews the lease when that is due. Raises Lost where it is gone."""

    def __init__(self, renew: Callable[[Session], bool]) -> None:
        self._renew = renew
        self._renewed_at = time.monotonic()

    def __call__(self, _: Progress) -> None:
        if time.monotonic() - self._renewed_at < RENEW_SECONDS:
            return
        with transaction() as session:
            if not self._renew(session):
                raise Lost
        self._renewed_at = time.monotonic()


class _Teller:
    """Writes how far inspection is, for those who watch it, and so renews the lease."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._told_at = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() - self._told_at < TELL_SECONDS:
            return
        body = {"rows": progress.row, "good": progress.good, "bad": progress.bad}
        with transaction() as session:
            if not datasets.tell(session, self._dataset, body):
                raise Lost
        self._told_at = time.monotonic()


def _bytes(dataset: Dataset) -> Iterator[bytes]:
    return storage.stream(storage.dataset_key(dataset.tenant_id, dataset.id))


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        yield Path(folder)


def _scratch() -> Path:
    folder = settings().cache_path() / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _fault(filename: str, problems: list[dict[str, Any]]) -> str:
    """Why a file cannot be used: the first finding that says so."""
    bad = [problem for problem in problems if problem["verdict"] == "bad"]
    worst = sorted(bad, key=lambda problem: not problem["ends"])
    why = f" Line {worst[0]['line']}: {worst[0]['message']}" if worst else ""
    return f"{filename} cannot be used.{why}"

"""From a request to the encodings it needs, and from those to a spec and an exact price.

What is priced is the encoded dataset itself: token counts are those of the rows that are trained.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from api import encodings, pricing
from api.catalog import BaseModel, base_model
from api.errors import BadRequest
from api.jobs.request import Submission, check, cutoff_len, held_out_share, resolve
from api.rows import Kind
from api.spec import JobSpec
from api.tables import Dataset, Encoding, Job, own


@dataclass(frozen=True, slots=True)
class Prepared:
    """The encodings of a job: the files', what is trained on (one of them, or their mixture), what
    is evaluated on, and what the two have in common."""

    base: BaseModel
    files: tuple[Encoding, ...]
    training: Encoding
    validation: Encoding | None
    leakage: Encoding | None

    @property
    def waiting(self) -> bool:
        made = (*self.files, self.training, self.validation, self.leakage)
        return any(encoding is not None and encoding.status == "pending" for encoding in made)

    def left_out(self) -> int:
        return sum(_left_out(encoding) for encoding in self.files)


def prepare(session: Session, tenant_id: str, submission: Submission) -> Prepared:
    """Find the encodings or ask for them. Raises BadRequest and NotFound."""
    base = check(submission)
    tuning = submission.tuning
    asked = [(submission.training_file, "training_file")]
    asked += [(m.file, f"tuning.mix_with[{n}].file") for n, m in enumerate(tuning.mix_with)]
    datasets = [_trainable(session, tenant_id, name, param=param) for name, param in asked]
    files = tuple(
        _encoding(session, dataset, submission, base, held_out=held_out_share(submission))
        for dataset in datasets
    )
    training = files[0]
    if len(files) > 1:
        training = encodings.want_mix(
            session,
            datasets[0],
            files,
            weights=(tuning.weight, *(mixed.weight for mixed in tuning.mix_with)),
            strategy=tuning.mixing,
        )
    if submission.validation_file is None:
        return Prepared(base, files, training, None, None)
    held_out = _trainable(session, tenant_id, submission.validation_file, param="validation_file")
    validation = _encoding(session, held_out, submission, base, held_out=0.0)
    leakage = encodings.want_leakage(session, datasets[0], files, validation)
    return Prepared(base, files, training, validation, leakage)


def prepared(session: Session, job: Job, submission: Submission) -> Prepared:
    """The same of a job that was submitted before."""
    training = _by_id(session, job.encoding_id)
    validation = session.get(Encoding, job.validation_encoding_id or "")
    parts = tuple(_by_id(session, part) for part in training.parts)
    base = base_model(submission.model)
    return Prepared(base, parts or (training,), training, validation, None)


def priced(submission: Submission, made: Prepared) -> tuple[JobSpec, pricing.Quote]:
    """Spec and price, or BadRequest with everything that is wrong with the files."""
    for encoding in made.files:
        _refuse(encoding, submission, param="training_file")
    _refuse(made.training, submission, param="training_file")
    if made.validation is not None:
        _refuse(made.validation, submission, param="validation_file")
    report = made.training.report or {}
    kind = Kind(report.get("kind", Kind.CONVERSATION))
    if kind not in (Kind.CONVERSATION, Kind.TEXT):
        raise BadRequest(
            f"The rows are {_KINDS[kind]}. The method {_method(submission)!r} learns from answers "
            "or plain text; upload those, or choose a method for such rows where one is offered.",
            code="invalid_training_file",
            param="training_file",
        )
    counts = pricing.TokenCounts(
        train_rows=report["train_rows"],
        train_tokens=report["train_tokens"],
        held_out_rows=report["held_out_rows"],
        held_out_tokens=report["held_out_tokens"],
    )
    spec = resolve(submission, made.base, train_rows=counts.train_rows)
    return spec, pricing.quote(spec, counts, made.base)


_KINDS = {Kind.PREFERENCE: "preference pairs", Kind.KTO: "answers with a label"}


def _method(submission: Submission) -> str:
    return submission.method.type if submission.method else "supervised"


def _encoding(
    session: Session,
    dataset: Dataset,
    submission: Submission,
    base: BaseModel,
    *,
    held_out: float,
) -> Encoding:
    tuning = submission.tuning
    recipe = encodings.file_recipe(
        dataset,
        base,
        cutoff_len=cutoff_len(submission, base),
        held_out_share=held_out,
        over_long="cut" if tuning.over_long == "cut" else "drop",
        train_on=tuning.train_on,
        thinking=tuning.thinking,
    )
    return encodings.want(session, dataset, recipe)


def _trainable(session: Session, tenant_id: str, dataset_id: str, *, param: str) -> Dataset:
    dataset = own(session, Dataset, dataset_id, tenant_id=tenant_id, param=param)
    if dataset.purpose != "fine-tune":
        raise BadRequest(
            f"{dataset_id} was uploaded for {dataset.purpose!r}. Upload it again with the purpose "
            '"fine-tune".',
            code="invalid_file_purpose",
            param=param,
        )
    return dataset


def _by_id(session: Session, encoding_id: str) -> Encoding:
    return session.execute(select(Encoding).where(Encoding.id == encoding_id)).scalar_one()


def _left_out(encoding: Encoding) -> int:
    report = encoding.report or {}
    return sum(int(report.get(f"{why}_rows", 0)) for why in ("bad", "unrepaired", "too_long"))


def _refuse(encoding: Encoding, submission: Submission, *, param: str) -> None:
    """Rows that would be left out, and that nobody said might be, refuse the job."""
    report = encoding.report or {}
    if encoding.status == "failed":
        raise BadRequest(
            report.get("fault", "The file cannot be encoded."),
            code="invalid_training_file",
            param=param,
        )
    tuning, file_id = submission.tuning, encoding.dataset_id
    bad, unrepaired, too_long = (
        int(report.get(f"{why}_rows", 0)) for why in ("bad", "unrepaired", "too_long")
    )
    what: list[str] = []
    if (bad or unrepaired) and not tuning.skip_bad_rows:
        if unrepaired:
            what.append(
                f"{unrepaired} can be repaired: accept that at POST /v1/files/{file_id}/reading."
            )
        what.append('To leave them out, send "tuning": {"skip_bad_rows": true}.')
    if too_long and tuning.over_long == "refuse":
        what.append(
            f"{too_long} are longer than cutoff_len {submission_cutoff(submission)}: "
            'send "tuning": {"over_long": "drop"} to leave them out, "cut" to cut them at the end '
            f"of an earlier answer, or raise cutoff_len ({report.get('proposed_cutoff_len')} "
            "keeps the most)."
        )
    if not what:
        return
    lines = "; ".join(f"line {p['line']}: {p['message']}" for p in report["problems"][:10])
    total = bad + unrepaired + too_long
    raise BadRequest(
        f"{total} rows of {file_id} cannot be trained on as they are. {lines}"
        f"{' …' if total > 10 else ''} All are listed at /v1/files/{file_id}/report. "
        + " ".join(what),
        code="invalid_training_file",
        param=param,
    )


def submission_cutoff(submission: Submission) -> int:
    return cutoff_len(submission, base_model(submission.model))
